// How the blocks of one part and batch tile give each other their units of h, once a step (twice
// where the reset gate comes before the product). Exchanges are numbered from 1 in each launch;
// number 0 is the initial state. Three forms of one interface:
//
//   send(number, values)      all threads; what this block adds to exchange `number`
//   receive(number, vectors)  all threads; the whole of it into shared memory; a barrier follows
//
// Every form keeps two exchanges, by the number's parity. That is enough: a block that sends
// number n+1 has received all of n, so every block has sent n, hence has received all of n-1 and
// will never look at it again.
#pragma once
#include "waiting.h"

#if EXCHANGE == EXCHANGE_WORDS
#include "exchange_words.h"
#elif EXCHANGE == EXCHANGE_CLUSTER
#include "exchange_cluster.h"
#else
#include "exchange_counter.h"
#endif
