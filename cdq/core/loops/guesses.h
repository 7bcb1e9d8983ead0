/* Guesses of greedy actions, from which a single lane goes on before its table has said what is greedy.
 *
 * From a state by its values to an action, by that to the next state: each step waits for the one before, some 60
 * cycles of which the arithmetic takes half. A guess is there at once; where it was wrong, which is seen later, the
 * processor takes back what it did in advance, as it does for a branch that it foresaw wrongly. Time alone depends on
 * guesses: what is learnt does not. */
#ifndef CDQ_GUESSES_H
#define CDQ_GUESSES_H

#include "base.h"

#define CDQ_GUESSES 1024 /* states that differ by a multiple of it share a guess */
#define CDQ_GUESS_STEPS 256 /* after so many steps the guesses are judged */
#define CDQ_FEW_LANES 2 /* more have enough to do while they wait */
#define CDQ_GUESS_SWEEPS 128 /* the same of two lanes, in sweeps */
#define CDQ_GUESS_WRONG 40 /* more that were wrong cost more than waiting */
#define CDQ_GUESS_AGAIN 16 /* untrusted, they are tried again in one of so many times */

typedef struct {
    uint8_t action[CDQ_GUESSES];
    uint32_t wrong, judged; /* wrong ones of the last steps in which they were used; how often they were judged */
} cdq_guesses;

/* Judge the guesses; return whether the next steps use them. */
CDQ_INLINE int cdq_trusted(cdq_guesses *guesses)
{
    int trusted = guesses->wrong <= CDQ_GUESS_WRONG || guesses->judged % CDQ_GUESS_AGAIN == 0;
    guesses->judged++;
    guesses->wrong = trusted ? 0 : guesses->wrong;
    return trusted;
}

/* The greedy action of a state, after the guess: the compiler must not make a choice of it, which would wait. */
CDQ_INLINE uint32_t cdq_corrected(cdq_guesses *guesses, uint32_t state, uint32_t greedy)
{
    guesses->action[state % CDQ_GUESSES] = (uint8_t)greedy;
    guesses->wrong++;
#if defined(__GNUC__)
    __asm__ volatile("" : "+r"(greedy));
#endif
    return greedy;
}

#endif
