/* The network forwards and backwards; included once per instruction set (sets.h). */

/* out = x W + b of a layer, for some rows. */
CDQ_INLINE void NAME(cdq_affine)(int64_t rows, int64_t inputs, int64_t outputs, const float *x, const float *kernel,
                                 const float *bias, float *out)
{
    cdq_sums sums = {kernel, bias, 0, outputs, inputs, out};
    NAME(cdq_product)(rows, (cdq_factor){x, inputs, 1}, &sums);
}

/* Values of up to CDQ_CHUNK inputs, rows of *padded* numbers; the last layer is padded. */
static void NAME(cdq_forward)(const cdq_network *net, const float *parameters, int64_t rows, const float *x,
                              const cdq_pass *pass, float *value)
{
    for (int64_t l = 0; l < net->n_hidden; l++) {
        const int64_t units = net->width[l + 1];
        const float *gain = parameters + net->gain[l], *shift = parameters + net->shift[l];
        NAME(cdq_affine)(rows, net->width[l], units, x, parameters + net->kernel[l], parameters + net->bias[l],
                         pass->sum);
        NAME(cdq_normalise)(rows, units, pass->sum, gain, shift, pass->normal[l], pass->active[l], pass->inverse[l]);
        x = pass->active[l];
    }
    NAME(cdq_affine)(rows, cdq_last(net), net->padded, x, pass->last, pass->last_bias, value);
}

/* Values of any number of inputs. */
static void NAME(cdq_values)(const cdq_network *net, const float *parameters, int64_t rows, const float *x,
                             cdq_pass *pass, float *value)
{
    cdq_pad_last(net, parameters, pass);
    for (int64_t i = 0; i < rows; i += CDQ_CHUNK) {
        const int64_t count = rows - i < CDQ_CHUNK ? rows - i : CDQ_CHUNK;
        NAME(cdq_forward)(net, parameters, count, x + i * net->width[0], pass, value + i * net->padded);
    }
}

/* to += scale * from */
CDQ_INLINE void NAME(cdq_add_scaled)(int64_t n, float scale, const float *from, float *to)
{
    for (int64_t i = 0; i < n; i += LANES)
        NAME(cdq_store)(to + i, NAME(cdq_load)(to + i) + scale * NAME(cdq_load)(from + i));
}

/* The last layer backwards: a sample's loss depends on the value of one action. */
CDQ_INLINE void NAME(cdq_last_back)(const cdq_network *net, const cdq_samples *samples, int64_t first, int64_t rows,
                                    const cdq_pass *pass, float *bias_gradient)
{
    const int64_t units = cdq_last(net), l = net->n_hidden - 1;
    for (int64_t i = 0; i < rows; i++) {
        const uint32_t a = samples->action[samples->order[first + i]];
        const float difference = pass->difference[i], *kernel = pass->by_action + a * units;
        bias_gradient[a] += difference;
        NAME(cdq_add_scaled)(units, difference, pass->active[l] + i * units, pass->by_action_gradient + a * units);
        for (int64_t j = 0; j < units; j += LANES)
            NAME(cdq_store)(pass->error + i * units + j, difference * NAME(cdq_load)(kernel + j));
    }
}

/* A hidden layer backwards: pass->error, the gradient by its x', becomes the one by the x' of the layer before. */
CDQ_INLINE void NAME(cdq_hidden_back)(const cdq_network *net, const float *parameters, int64_t l, int64_t rows,
                                      cdq_pass *pass, float *into)
{
    const int64_t inputs = net->width[l], units = net->width[l + 1];
    const float *x = l ? pass->active[l - 1] : pass->input;
    float *kernel = into + net->kernel[l];
    NAME(cdq_normalise_back)(rows, units, pass->inverse[l], pass->normal[l], pass->active[l], parameters + net->gain[l],
                             pass->error, into + net->gain[l], into + net->shift[l], into + net->bias[l]);
    cdq_sums sums = {pass->error, kernel, units, units, rows, kernel};
    NAME(cdq_product)(inputs, (cdq_factor){x, 1, inputs}, &sums);
    if (l == 0)
        return;
    cdq_sums back = {pass->transposed[l], NULL, 0, inputs, units, pass->sum};
    NAME(cdq_product)(rows, (cdq_factor){pass->error, units, 1}, &back);
    float *swap = pass->error;
    pass->error = pass->sum;
    pass->sum = swap;
}

/* (rows, columns) -> (columns, rows) */
CDQ_INLINE void NAME(cdq_transpose)(int64_t rows, int64_t columns, const float *from, float *restrict to)
{
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            to[j * rows + i] = from[i * columns + j];
}

/* The gradient of the mean of (Q(s, a) - y)^2 over samples. */
static void NAME(cdq_gradient)(const cdq_network *net, const float *parameters, const cdq_samples *samples,
                               cdq_pass *pass, float *into)
{
    const int64_t last = net->n_hidden, units = net->width[last], actions = net->width[last + 1];
    const int64_t inputs = net->width[0];
    cdq_pad_last(net, parameters, pass);
    NAME(cdq_transpose)(units, actions, parameters + net->kernel[last], pass->by_action);
    for (int64_t l = 1; l < last; l++)
        NAME(cdq_transpose)(net->width[l], net->width[l + 1], parameters + net->kernel[l], pass->transposed[l]);
    memset(into, 0, (size_t)net->size * sizeof(float));
    memset(pass->by_action_gradient, 0, (size_t)(actions * units) * sizeof(float));
    for (int64_t first = 0; first < samples->n; first += CDQ_CHUNK) {
        const int64_t rows = samples->n - first < CDQ_CHUNK ? samples->n - first : CDQ_CHUNK;
        for (int64_t i = 0; i < rows; i++)
            memcpy(pass->input + i * inputs, samples->input + samples->order[first + i] * inputs,
                   (size_t)inputs * sizeof(float));
        NAME(cdq_forward)(net, parameters, rows, pass->input, pass, pass->value);
        for (int64_t i = 0; i < rows; i++) {
            const int32_t j = samples->order[first + i];
            const float value = pass->value[i * net->padded + samples->action[j]];
            pass->difference[i] = 2.0f / (float)samples->n * (value - samples->target[j]);
        }
        NAME(cdq_last_back)(net, samples, first, rows, pass, into + net->bias[last]);
        for (int64_t l = last - 1; l >= 0; l--)
            NAME(cdq_hidden_back)(net, parameters, l, rows, pass, into);
    }
    NAME(cdq_transpose)(actions, units, pass->by_action_gradient, into + net->kernel[last]);
}
