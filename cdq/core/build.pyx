"""Build of the core: compiler, clones for newer instruction sets, checks."""

cdef extern from "base.h":
    """
    #define CDQ_TEXT_OF(...) #__VA_ARGS__
    #define CDQ_TEXT(...) CDQ_TEXT_OF(__VA_ARGS__)

    #if defined(__clang__)
    static const char *const cdq_compiler = __VERSION__;
    #elif defined(__GNUC__)
    static const char *const cdq_compiler = "gcc " __VERSION__;
    #elif defined(_MSC_FULL_VER)
    static const char *const cdq_compiler = "MSVC " CDQ_TEXT(_MSC_FULL_VER);
    #else
    static const char *const cdq_compiler = "unknown";
    #endif

    static const char *const cdq_clones = CDQ_TEXT(CDQ_CLONES); /* empty where there are none */

    #ifdef CDQ_DEBUG
    static const int cdq_debug = 1;
    #else
    static const int cdq_debug = 0;
    #endif

    /* The question that the loader asks when it picks a clone; compilers that make no clones need not know the name. */
    static int cdq_has_v3(void) {
    #if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__)
        return __builtin_cpu_supports("x86-64-v3") != 0;
    #else
        return 0;
    #endif
    }
    """
    const char *cdq_compiler
    const char *cdq_clones
    bint cdq_debug
    bint cdq_has_v3()

COMPILER = cdq_compiler.decode()
HAS_CLONES = cdq_clones[0] != 0
DEBUG = cdq_debug


def uses_clones():
    """Return whether the loader picked the loops for x86-64-v3."""
    return HAS_CLONES and cdq_has_v3()
