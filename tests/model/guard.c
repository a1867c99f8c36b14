/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls the core so that whatever goes wrong in there (an assertion that does not hold, a wild
 * pointer, a loop without end) comes back as a sentence and the search can print its trace. The
 * core calls nothing and holds no lock, so leaving it by a jump is safe; its state is then
 * worthless and thrown away.
 *
 * The assertion handlers of engine/base/assert.c are replaced here by the linker: a library member
 * is only taken in for symbols that nobody defined.
 */
#include "tests/model/model.h"

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
	HANG_SECONDS = 5
};

static sigjmp_buf away;
static sig_atomic_t inside;
static sig_atomic_t alarms; /* since the call began */
static char text[MODEL_TEXT];

static const char *file_name(const char *path)
{
	const char *last = strrchr(path, '/');

	return last ? last + 1 : path;
}

static void leave(void) __attribute__((noreturn));
static void leave(void)
{
	if (inside) {
		inside = 0;
		siglongjmp(away, 1);
	}
	fprintf(stderr, "synod-model: %s\n", text);
	abort();
}

void synod_assert_failed(const char *file, int line, const char *condition)
{
	snprintf(text, sizeof(text), "assertion failed: %s:%d: %s", file_name(file), line,
		 condition);
	leave();
}

void synod_assert_failed_values(const char *file, int line, const char *condition, int64_t left,
				int64_t right)
{
	snprintf(text, sizeof(text), "assertion failed: %s:%d: %s (%" PRId64 ", %" PRId64 ")",
		 file_name(file), line, condition, left, right);
	leave();
}

static void on_signal(int number)
{
	if (number == SIGVTALRM) {
		if (!inside || ++alarms < HANG_SECONDS)
			return;
		snprintf(text, sizeof(text), "the core did not come back in %d s of work",
			 HANG_SECONDS);
	} else {
		snprintf(text, sizeof(text), "the core died of signal %d", number);
	}
	leave();
}

void model_guard_begin(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGVTALRM };
	struct itimerval second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	setitimer(ITIMER_VIRTUAL, &second, NULL); /* our own CPU time: others cannot use it up */
}

const char *model_guard_call(void (*call)(void *context), void *context)
{
	alarms = 0;
	if (sigsetjmp(away, 0))
		return text;
	inside = 1;
	call(context);
	inside = 0;
	return NULL;
}

struct step {
	struct synod_core *core;
	const struct synod_event *event;
	struct synod_effects *fx;
};

static void step(void *context)
{
	const struct step *what = context;

	synod_core_step(what->core, what->event, what->fx);
}

const char *model_guard_step(struct synod_core *core, const struct synod_event *event,
			     struct synod_effects *fx)
{
	struct step what = { .core = core, .event = event, .fx = fx };

	return model_guard_call(step, &what);
}
