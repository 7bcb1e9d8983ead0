/* All kernels of merging of one instruction set; sets.h says which. */
typedef uint32_t WORDS __attribute__((vector_size(BYTES)));
typedef uint32_t LOOSE __attribute__((vector_size(BYTES), aligned(4))); /* of a table: it begins anywhere */
typedef int32_t SIGNED __attribute__((vector_size(BYTES)));
typedef float FLOATS __attribute__((vector_size(BYTES)));
typedef double DOUBLES __attribute__((vector_size(BYTES)));
typedef int64_t LONGS __attribute__((vector_size(BYTES)));
typedef uint32_t WORDS_HALF __attribute__((vector_size(BYTES / 2)));
typedef int32_t SIGNED_HALF __attribute__((vector_size(BYTES / 2)));

#include "merge/merge_counts.h"
#define CDQ_HEADER "merge/merge_rules.h"
#include "per_type.h"
#define CDQ_HEADER "merge/merge_mass.h"
#include "per_type.h"

#undef SET
#undef BYTES
#undef CHAINS
#undef ANY
#undef WEIGHTED
#undef LINES
#undef STREAM
#undef LOOKED_UP
#undef LARGER
