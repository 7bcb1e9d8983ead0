/* Packets in a network: a lane is a network, and a step the decision to which neighbour a node sends a packet. */
#ifndef CDQ_ENV_ROUTING_H
#define CDQ_ENV_ROUTING_H

#include "base.h"
#include "envs/env_grid.h"
#include "lane.h"

/* A network's integers; a list is empty where it is -1. */
enum { CDQ_ROUTING_TICK, CDQ_ROUTING_NODE, CDQ_ROUTING_FREE, CDQ_ROUTING_FLYING, CDQ_ROUTING_WAITING,
       CDQ_ROUTING_DELIVERED, CDQ_ROUTING_DELAY, CDQ_ROUTING_LOST };

typedef struct {
    int64_t n_nodes, n_actions;
    int64_t capacity; /* packets in a network, at most */
    int64_t ticks; /* of an episode */
    double quiet; /* probability that no packet comes in a tick */
    int64_t neighbour[]; /* (n_nodes, n_actions), -1 beyond those that a node has */
} cdq_network;

typedef struct {
    int32_t next; /* in its list */
    int32_t at, destination;
    int32_t came, born; /* ticks: at its node, in the network */
} cdq_packet;

/* Memory of a network: the first and the last packet of each node's queue, and all packets. */
typedef struct {
    int32_t *first, *last;
    cdq_packet *packets;
} cdq_queues;

CDQ_INLINE cdq_queues cdq_queues_of(const cdq_lane *lane, int64_t n_nodes)
{
    int32_t *first = (int32_t *)lane->memory;
    cdq_queues queues = {first, first + n_nodes, (cdq_packet *)(first + 2 * n_nodes)};
    return queues;
}

/* Take the first packet of a list. */
CDQ_INLINE int32_t cdq_take(cdq_packet *packets, int64_t *list)
{
    int32_t k = (int32_t)*list;
    *list = packets[k].next;
    return k;
}

CDQ_INLINE void cdq_put(cdq_packet *packets, int64_t *list, int32_t k)
{
    packets[k].next = (int32_t)*list;
    *list = k;
}

CDQ_INLINE void cdq_queue_up(cdq_lane *lane, const cdq_queues *queues, int32_t k)
{
    int32_t node = queues->packets[k].at;
    queues->packets[k].next = -1;
    if (queues->first[node] < 0)
        queues->first[node] = k;
    else
        queues->packets[queues->last[node]].next = k;
    queues->last[node] = k;
    lane->integer[CDQ_ROUTING_WAITING]++;
}

CDQ_INLINE uint64_t cdq_routing_bits(const cdq_lane *lane) { return (uint64_t)(lane->uniform[0] * 0x1p52); }

/* The next of a step's random numbers, on [0, 1). */
CDQ_INLINE double cdq_routing_uniform(uint64_t *bits)
{
    *bits = cdq_mix(*bits);
    return (double)(*bits >> 11) * 0x1p-53;
}

/* Let a packet into the network, or lose it where there are as many as it holds. */
CDQ_INLINE void cdq_routing_enter(cdq_lane *lane, const cdq_queues *queues, int32_t from, int32_t to)
{
    int64_t *s = lane->integer;
    if (from == to)
        return;
    if (s[CDQ_ROUTING_FREE] < 0) {
        s[CDQ_ROUTING_LOST]++;
        return;
    }
    int32_t k = cdq_take(queues->packets, &s[CDQ_ROUTING_FREE]), tick = (int32_t)s[CDQ_ROUTING_TICK];
    cdq_packet packet = {-1, from, to, tick, tick};
    queues->packets[k] = packet;
    cdq_queue_up(lane, queues, k);
}

/* Begin a tick: a Poisson number of packets comes, each from one random node to another one. */
static void cdq_routing_begin(cdq_lane *lane, const cdq_network *network, const cdq_queues *queues, uint64_t *bits)
{
    double n_nodes = (double)network->n_nodes;
    for (double p = cdq_routing_uniform(bits); p > network->quiet; p *= cdq_routing_uniform(bits)) {
        int32_t from = (int32_t)(cdq_routing_uniform(bits) * n_nodes);
        cdq_routing_enter(lane, queues, from, (int32_t)(cdq_routing_uniform(bits) * n_nodes));
    }
    lane->integer[CDQ_ROUTING_NODE] = 0;
}

/* End a tick: the packets that were sent come where they were sent to, in the order in which they were. */
static void cdq_routing_end(cdq_lane *lane, const cdq_queues *queues)
{
    int64_t *s = lane->integer, flown = -1;
    s[CDQ_ROUTING_TICK]++;
    while (s[CDQ_ROUTING_FLYING] >= 0)
        cdq_put(queues->packets, &flown, cdq_take(queues->packets, &s[CDQ_ROUTING_FLYING]));
    while (flown >= 0)
        cdq_queue_up(lane, queues, cdq_take(queues->packets, &flown));
}

/* Go to the next node at which a packet waits, be it in a later tick, and show it. */
static void cdq_routing_go_on(cdq_lane *lane, const cdq_network *network, uint64_t bits)
{
    cdq_queues queues = cdq_queues_of(lane, network->n_nodes);
    int64_t *s = lane->integer, node = s[CDQ_ROUTING_NODE];
    for (; node == network->n_nodes || queues.first[node] < 0; node++)
        if (node == network->n_nodes) {
            cdq_routing_end(lane, &queues);
            cdq_routing_begin(lane, network, &queues, &bits);
            node = -1;
        }
    s[CDQ_ROUTING_NODE] = node;
    lane->index = node * network->n_nodes + queues.packets[queues.first[node]].destination;
}

static void cdq_routing_reset(cdq_lane *lane)
{
    const cdq_network *network = (const cdq_network *)lane->context;
    cdq_queues queues = cdq_queues_of(lane, network->n_nodes);
    for (int k = 0; k < 8; k++)
        lane->integer[k] = 0;
    for (int64_t node = 0; node < network->n_nodes; node++)
        queues.first[node] = -1;
    for (int64_t k = 0; k < network->capacity; k++)
        queues.packets[k].next = k + 1 < network->capacity ? (int32_t)k + 1 : -1;
    lane->integer[CDQ_ROUTING_TICK] = lane->integer[CDQ_ROUTING_FLYING] = -1;
    lane->integer[CDQ_ROUTING_NODE] = network->n_nodes; /* a tick ends, and the first one, 0, begins */
    cdq_routing_go_on(lane, network, cdq_routing_bits(lane));
}

/* Send a packet to a neighbour. The reward is minus the ticks that it waited, and the one of its way; the target
 * bootstraps from where it is then. A packet stays where it is by an action that its node does not have. */
static void cdq_routing_step(cdq_lane *lane)
{
    const cdq_network *network = (const cdq_network *)lane->context;
    cdq_queues queues = cdq_queues_of(lane, network->n_nodes);
    int64_t *s = lane->integer, node = s[CDQ_ROUTING_NODE];
    int32_t k = queues.first[node], next = (int32_t)s[CDQ_ROUTING_TICK] + 1;
    cdq_packet *packet = queues.packets + k;
    int64_t neighbour = network->neighbour[node * network->n_actions + lane->action];
    int64_t to = neighbour < 0 ? node : neighbour;
    queues.first[node] = packet->next;
    s[CDQ_ROUTING_WAITING]--;
    lane->reward = (double)(packet->came - next);
    if (to == packet->destination) {
        lane->discount = 0.0;
        s[CDQ_ROUTING_DELIVERED]++;
        s[CDQ_ROUTING_DELAY] += next - packet->born;
        cdq_put(queues.packets, &s[CDQ_ROUTING_FREE], k);
    } else {
        lane->successor = to * network->n_nodes + packet->destination;
        packet->at = (int32_t)to;
        packet->came = next;
        cdq_put(queues.packets, &s[CDQ_ROUTING_FLYING], k);
    }
    s[CDQ_ROUTING_NODE]++;
    cdq_routing_go_on(lane, network, cdq_routing_bits(lane));
    lane->truncated = s[CDQ_ROUTING_TICK] >= network->ticks;
}

#endif
