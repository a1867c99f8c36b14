/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Devices: found or created, configured with one queue pair, started, and started again when a
 * memif server died.
 *
 * What drivers say and do (DPDK 22.11):
 * - memif and af_packet report 1518 bytes as their largest frame but carry what their buffers hold
 *   (bsize, framesz): they are configured with an MTU of 1500 and used with ours.
 * - memif takes chained mbufs and copies them into the ring, so does af_packet.
 * - A memif client connects once, when it is started; a server listens for ever. If the server
 *   dies the client's link goes down and stays down: stop and start it until somebody listens.
 * - Closing a memif server port leaves its listener registered with freed memory behind it: such a
 *   port is stopped, and stays for the next net of this process, or its end.
 * - Stopping af_packet closes its sockets for good: it is never restarted.
 */
#include "engine/base/assert.h"
#include "net/gate.h"
#include "net/port.h"

#include <errno.h>
#include <linux/if.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MTU_STANDARD = 1500,
	MTU_JUMBO = 9000,
	/* Between a frame's start and its slot's end in an af_packet ring. */
	AF_PACKET_SLACK = 128,
};

/* A peer that has ended closes its sockets within this; else it had not ended, and is believed. */
#define ENDED_FOR_NS	    1000000000ull
#define RETRY_REFUSED_NS    10000000ull	  /* 10 ms: nobody listens; asking costs a system call */
#define RETRY_SILENT_NS	    60000000ull	  /* 60 ms: somebody does; a handshake takes about 15 */
#define RETRY_SILENT_MAX_NS 4000000000ull /* doubling up to 4 s: it may be stopped or refuse us */

static int refuse(char *error, size_t error_size, const char *device, int code, const char *what)
{
	snprintf(error, error_size, "port %s: %s: %s", device, what, strerror(-code));
	return code;
}

static int mac_is_zero(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return memcmp(mac, zero, 6) == 0;
}

static enum synod_port_driver driver_of(const char *driver_name, const char *args)
{
	if (strcmp(driver_name, "net_memif") == 0)
		return strstr(args, "role=server") ? SYNOD_PORT_MEMIF_SERVER
						   : SYNOD_PORT_MEMIF_CLIENT;
	if (strcmp(driver_name, "net_af_packet") == 0)
		return SYNOD_PORT_AF_PACKET;
	return SYNOD_PORT_CARD;
}

/* Makes the device exist and finds its number. */
static int find(struct synod_port *port, const struct synod_net_port_config *config, char *error,
		size_t error_size)
{
	int result;

	if (rte_eth_dev_get_port_by_name(config->device, &port->ethdev) == 0)
		return 0;
	if (config->args[0] != '\0')
		result = rte_eal_hotplug_add("vdev", config->device, config->args);
	else
		result = rte_dev_probe(config->device);
	if (result)
		return refuse(error, error_size, config->device, result < 0 ? result : -ENODEV,
			      config->args[0] ? "cannot create it (driver linked? interface there? "
						"rights? another process with the same name?)"
					      : "cannot probe it (bound to vfio-pci? allowed?)");
	port->created = 1;
	result = rte_eth_dev_get_port_by_name(config->device, &port->ethdev);
	if (result)
		return refuse(error, error_size, config->device, result, "is no ethernet device");
	return 0;
}

/* A number among "key=number" arguments, or 0. */
static uint32_t argument(const char *args, const char *key)
{
	const char *at = strstr(args, key);

	return at ? (uint32_t)strtoul(at + strlen(key), NULL, 10) : 0;
}

/* The largest IP packet that the port can carry, whatever its driver says. */
static uint32_t mtu_of(const struct synod_port *port, const struct synod_net_port_config *config,
		       const struct rte_eth_dev_info *info)
{
	uint32_t mtu = config->mtu ? config->mtu : MTU_JUMBO;
	uint32_t limit = info->max_mtu;
	uint32_t slot;

	switch (port->driver) {
	case SYNOD_PORT_MEMIF_SERVER:
	case SYNOD_PORT_MEMIF_CLIENT:
		slot = argument(config->args, "bsize=");
		limit = (slot ? slot : 2048) - SYNOD_FRAME_ETHERNET_SIZE;
		break;
	case SYNOD_PORT_AF_PACKET:
		/* The driver does not look at the interface's own MTU: jumbo only when told. */
		slot = argument(config->args, "framesz=");
		limit = (slot ? slot : 2048) - SYNOD_FRAME_ETHERNET_SIZE - AF_PACKET_SLACK;
		if (!config->mtu)
			mtu = MTU_STANDARD;
		break;
	case SYNOD_PORT_CARD:
		if (info->max_rx_pktlen != UINT32_MAX &&
		    info->max_rx_pktlen < limit + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN)
			limit = info->max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
		break;
	}
	return mtu < limit ? mtu : limit;
}

/*
 * The driver sends what it is given and the kernel drops what its interface does not carry: told at
 * once, not as silence later. 0, or -EMSGSIZE after an error; an interface that cannot be asked is
 * taken at its word.
 */
static int check_interface(const struct synod_port *port,
			   const struct synod_net_port_config *config, char *error,
			   size_t error_size)
{
	const char *name = strstr(config->args, "iface=");
	struct ifreq request = { 0 };
	int known;
	int fd;

	if (port->driver != SYNOD_PORT_AF_PACKET || !name || !config->mtu)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	name += strlen("iface=");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.*s", (int)strcspn(name, ","), name);
	known = ioctl(fd, SIOCGIFMTU, &request) == 0;
	close(fd);
	if (!known || request.ifr_mtu >= config->mtu)
		return 0;
	snprintf(
		error, error_size,
		"port %s: mtu = %u, but interface %s carries %d; lower mtu, or raise the other: ip "
		"link set %s mtu %u",
		config->device, config->mtu, request.ifr_name, request.ifr_mtu, request.ifr_name,
		config->mtu);
	return -EMSGSIZE;
}

static void choose_checksum(struct synod_port *port, const struct synod_net_port_config *config,
			    const struct rte_eth_dev_info *info)
{
	int memif =
		port->driver == SYNOD_PORT_MEMIF_SERVER || port->driver == SYNOD_PORT_MEMIF_CLIENT;

	if (config->checksum == SYNOD_NET_CHECKSUM_NONE)
		port->checksum = SYNOD_PORT_CHECKSUM_NONE;
	else if (config->checksum == SYNOD_NET_CHECKSUM_SOFTWARE)
		port->checksum = SYNOD_PORT_CHECKSUM_SOFTWARE;
	else if (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
		port->checksum = SYNOD_PORT_CHECKSUM_DEVICE;
	else
		port->checksum = memif ? SYNOD_PORT_CHECKSUM_NONE : SYNOD_PORT_CHECKSUM_SOFTWARE;
}

/* The fast-free offload is never asked for: second segments are shared by reference. */
static void choose_offloads(struct synod_port *port, const struct rte_eth_dev_info *info,
			    struct rte_eth_conf *conf)
{
	port->multi_segments = (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) != 0;
	if (port->multi_segments)
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (port->checksum == SYNOD_PORT_CHECKSUM_DEVICE)
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	conf->rxmode.offloads = info->rx_offload_capa &
				(RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
}

static int configure(struct synod_net *net, struct synod_port *port,
		     const struct synod_net_port_config *config, char *error, size_t error_size)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = { 0 };
	uint16_t rx = net->rx_descriptors;
	uint16_t tx = net->tx_descriptors;
	uint32_t mtu;
	int socket;
	int result = rte_eth_dev_info_get(port->ethdev, &info);

	if (result)
		return refuse(error, error_size, config->device, result,
			      "does not describe itself");
	port->driver = driver_of(info.driver_name, config->args);
	result = check_interface(port, config, error, error_size);
	if (result)
		return result;
	mtu = mtu_of(port, config, &info);
	if (mtu < 576)
		return refuse(error, error_size, config->device, -EINVAL, "MTU under 576");
	port->frame_size_max = SYNOD_FRAME_ETHERNET_SIZE + mtu;
	if (rte_pktmbuf_data_room_size(net->rx_pool) < RTE_PKTMBUF_HEADROOM + port->frame_size_max)
		return refuse(error, error_size, config->device, -EINVAL,
			      "the receive pool's buffers are smaller than its frames");
	choose_checksum(port, config, &info);
	choose_offloads(port, &info, &conf);
	conf.rxmode.mtu = port->driver == SYNOD_PORT_CARD ? mtu : MTU_STANDARD;

	result = rte_eth_dev_configure(port->ethdev, 1, 1, &conf);
	if (result)
		return refuse(error, error_size, config->device, result, "refuses one queue pair");
	result = rte_eth_dev_adjust_nb_rx_tx_desc(port->ethdev, &rx, &tx);
	if (result)
		return refuse(error, error_size, config->device, result, "refuses its rings");
	socket = rte_eth_dev_socket_id(port->ethdev);
	result = rte_eth_rx_queue_setup(port->ethdev, 0, rx, (unsigned int)socket, NULL,
					net->rx_pool);
	if (!result)
		result = rte_eth_tx_queue_setup(port->ethdev, 0, tx, (unsigned int)socket, NULL);
	if (result)
		return refuse(error, error_size, config->device, result, "refuses its queues");
	port->configured = 1;
	return 0;
}

static int set_addresses(struct synod_port *port, const struct synod_net_port_config *config,
			 char *error, size_t error_size)
{
	struct synod_frame_end *own = &port->filter.own;
	struct synod_frame_end nobody = { 0 };
	struct rte_ether_addr mac;
	int result = rte_eth_macaddr_get(port->ethdev, &mac);

	if (!result && !mac_is_zero(config->mac) && memcmp(config->mac, mac.addr_bytes, 6) != 0) {
		memcpy(mac.addr_bytes, config->mac, 6);
		result = rte_eth_dev_default_mac_addr_set(port->ethdev, &mac);
	}
	if (result)
		return refuse(error, error_size, config->device, result, "does not take its MAC");
	own->ip = config->ip;
	own->udp_port = config->udp_port;
	memcpy(own->mac, mac.addr_bytes, 6);
	synod_frame_template_init(&port->template, own, &nobody);
	return 0;
}

/* What both ends of a memif link call it. */
static void name_socket(struct synod_port *port, const char *args)
{
	const char *name = strstr(args, "socket=");

	if ((port->driver != SYNOD_PORT_MEMIF_SERVER && port->driver != SYNOD_PORT_MEMIF_CLIENT) ||
	    !name || !strstr(args, "socket-abstract=yes"))
		return;
	name += strlen("socket=");
	snprintf(port->socket, sizeof(port->socket), "%.*s", (int)strcspn(name, ","), name);
}

int synod_ethdev_open(struct synod_net *net, struct synod_port *port,
		      const struct synod_net_port_config *config, char *error, size_t error_size)
{
	int result;

	port->kind = config->kind;
	port->peer = config->kind == SYNOD_NET_PEER ? config->peer : 0;
	port->retry_wait_ns = RETRY_SILENT_NS;
	result = find(port, config, error, error_size);
	if (!result)
		result = configure(net, port, config, error, error_size);
	if (!result)
		result = set_addresses(port, config, error, error_size);
	if (result)
		return result;
	name_socket(port, config->args);

	result = rte_eth_dev_start(port->ethdev);
	port->started = result == 0;
	/* A memif client that nobody answers yet is a link that is down. */
	if (result && port->driver != SYNOD_PORT_MEMIF_CLIENT)
		return refuse(error, error_size, config->device, result, "does not start");
	return 0;
}

void synod_ethdev_close(struct synod_port *port)
{
	struct rte_eth_dev_info info;

	if (port->started)
		(void)rte_eth_dev_stop(port->ethdev);
	port->started = 0;
	port->up = 0;
	if (!port->created || port->driver == SYNOD_PORT_MEMIF_SERVER)
		return;
	port->created = 0;
	if (rte_eth_dev_info_get(port->ethdev, &info) == 0)
		(void)rte_dev_remove(info.device);
}

/* Stop and start, and look again later. The interrupt thread is parked (net/gate.h). */
static void restart(struct synod_port *port, uint64_t now_ns)
{
	if (port->started) {
		(void)rte_eth_dev_stop(port->ethdev);
		port->started = 0;
		/* Its descriptor is closed and its number free: let an event that is still
		 * waiting for it run into nothing before the number is used again. */
		synod_gate_turn();
	}
	if (rte_eth_dev_start(port->ethdev) != 0) {
		port->retry_at_ns = now_ns + RETRY_REFUSED_NS;
		port->retry_wait_ns = RETRY_SILENT_NS;
		return;
	}
	port->started = 1;
	port->retry_at_ns = now_ns + port->retry_wait_ns;
	if (port->retry_wait_ns < RETRY_SILENT_MAX_NS)
		port->retry_wait_ns *= 2;
}

/*
 * 1: the driver still calls the link up, and the peer has ended: what is sent there is lost. Not
 * for long: a process may also live on without its first thread, which is what was looked at.
 */
static int has_ended(struct synod_port *port, int up, uint64_t now_ns)
{
	if (!port->ended_ns)
		return 0;
	if (up && now_ns - port->ended_ns < ENDED_FOR_NS)
		return 1;
	port->ended_ns = 0;
	synod_living_forget(port->socket);
	return 0;
}

void synod_ethdev_poll(struct synod_net *net, struct synod_port *port, uint64_t now_ns)
{
	struct rte_eth_link link = { 0 };
	uint8_t up;
	int ended;

	if (port->started && rte_eth_link_get_nowait(port->ethdev, &link) != 0)
		link.link_status = RTE_ETH_LINK_DOWN;
	up = port->started && link.link_status == RTE_ETH_LINK_UP;
	ended = has_ended(port, up, now_ns);
	up = up && !ended;
	if (up != port->up) {
		synod_count(net->counters, up ? SYNOD_LINK_UP : SYNOD_LINK_DOWN, 1);
		port->up = up;
		port->retry_wait_ns = RETRY_SILENT_NS;
		port->retry_at_ns = now_ns;
	}
	if (up || ended || port->driver != SYNOD_PORT_MEMIF_CLIENT)
		return;
	if (port->retry_at_ns == 0) /* started by open, first look */
		port->retry_at_ns = now_ns + (port->started ? RETRY_SILENT_NS : 0);
	if (now_ns >= port->retry_at_ns)
		restart(port, now_ns);
}
