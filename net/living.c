/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/living.h"

#include "engine/base/assert.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(SYNOD_LIVING_NAME_MAX == sizeof(((struct sockaddr_un *)0)->sun_path), "as promised");

struct living {
	char name[SYNOD_LIVING_NAME_MAX]; /* of the link's socket; "": a free place */
	int statm;			  /* -1: cannot be seen */
	int pid;
};

/* As the gate, one a process. */
static struct living all[SYNOD_LIVING_MAX];

static struct living *find(const char *name)
{
	for (int i = 0; i < SYNOD_LIVING_MAX; i++)
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	return NULL;
}

/* The abstract name of the link that a connected socket belongs to: the listener's. */
static int name_of(int fd, char name[SYNOD_LIVING_NAME_MAX])
{
	for (int far = 0; far < 2; far++) {
		struct sockaddr_un address = { 0 };
		socklen_t size = sizeof(address);
		int result = far ? getpeername(fd, (struct sockaddr *)&address, &size)
				 : getsockname(fd, (struct sockaddr *)&address, &size);

		if (result != 0 || address.sun_family != AF_UNIX ||
		    size <= offsetof(struct sockaddr_un, sun_path) + 1 || address.sun_path[0] ||
		    !address.sun_path[1])
			continue;
		memcpy(name, address.sun_path + 1, SYNOD_LIVING_NAME_MAX - 1);
		name[SYNOD_LIVING_NAME_MAX - 1] = '\0';
		return 0;
	}
	return -1;
}

void synod_living_note(int fd)
{
	char name[SYNOD_LIVING_NAME_MAX];
	char path[64];
	struct ucred peer;
	socklen_t size = sizeof(peer);
	struct living *living;

	if (name_of(fd, name) != 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
	    peer.pid <= 0)
		return;
	living = find(name);
	if (living && living->pid == peer.pid)
		return; /* a handshake takes several messages */
	if (living)
		synod_living_forget(name);
	living = find("");
	if (!living)
		return;
	memcpy(living->name, name, sizeof(name));
	living->pid = peer.pid;
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)peer.pid);
	living->statm = open(path, O_RDONLY | O_CLOEXEC);
}

int synod_living_ended(const char *name)
{
	const struct living *living = find(name);
	char text[8];
	ssize_t size;

	synod_assert(name[0] != '\0');
	if (!living || living->statm < 0)
		return 0;
	/* "size resident …" in pages; of a process that is gone for good, an error. */
	size = pread(living->statm, text, sizeof(text), 0);
	return size <= 0 || text[0] == '0';
}

void synod_living_forget(const char *name)
{
	struct living *living = find(name);

	synod_assert(name[0] != '\0');
	if (!living)
		return;
	if (living->statm >= 0)
		close(living->statm);
	*living = (struct living){ .statm = -1 };
}
