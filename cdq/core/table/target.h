/* The target of an update; included once per type: REAL, NAME. */

/* r + discount next, next being what the successor is worth. The discount of a transition that terminated is 0; then
 * *next* is not read, not even as 0 times what is not finite. (A truncation bootstraps.) */
CDQ_INLINE REAL NAME(cdq_target)(REAL reward, REAL discount, REAL next)
{
    return reward + (discount == 0 ? (REAL)0 : discount * next);
}
