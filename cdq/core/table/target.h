/* The target of an update; included once per type: REAL, NAME. */

/* r + gamma next, next being the value of the successor's row, without the second term after a termination (a truncation
 * bootstraps). */
CDQ_INLINE REAL NAME(cdq_target)(REAL reward, REAL gamma, int terminated, REAL next)
{
    return reward + (terminated ? (REAL)0 : gamma * next);
}
