/* One episode of a fixed policy; included once per type: REAL, NAME. */

static void NAME(cdq_follow)(const cdq_model *model, const uint32_t *policy, int64_t n_actions, uint64_t *words,
                             int64_t lanes, int64_t lane, int64_t longest, double *episode_return, int64_t *length)
{
    uint32_t successor = cdq_start(model, cdq_next_of_lane(words, lanes, lane));
    REAL reward;
    *episode_return = 0;
    *length = 0;
    do {
        uint64_t pair = (uint64_t)successor * (uint64_t)n_actions + policy[successor];
        uint64_t bits = cdq_next_of_lane(words, lanes, lane);
        successor = model->width ? NAME(cdq_outcome_of_record)(model, pair, bits, &reward)
                                 : NAME(cdq_outcome_of_alias)(model, pair, bits, &reward);
        *episode_return += (double)reward;
        *length += 1;
    } while (!(successor & CDQ_TERMINATED) && *length != longest);
}
