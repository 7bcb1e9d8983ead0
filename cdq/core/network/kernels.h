/* All kernels of one instruction set; sets.h says which. */
#include "network/product.h"
#include "network/norm.h"
#include "network/passes.h"
#include "network/radam.h"

#undef LANES
#undef VECTOR
#undef MASK
#undef NAME
