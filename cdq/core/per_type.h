/* A header once for tables of float and once for those of double: REAL is the type, NAME(x) is x_float or x_double.
 * Say which first, and again for each header; this one has no guard, as it is to be included as often:
 *
 *     #define CDQ_HEADER "loops/window.h"
 *     #include "per_type.h"
 */
#include "base.h"

#define REAL float
#define NAME(x) CDQ_PASTE(x, float)
#include CDQ_HEADER
#undef REAL
#undef NAME
#define REAL double
#define NAME(x) CDQ_PASTE(x, double)
#include CDQ_HEADER
#undef REAL
#undef NAME
#undef CDQ_HEADER
