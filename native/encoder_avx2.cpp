// Compiled with flags of its own (CMakeLists.txt); without them there is nothing here.
#if defined(__AVX2__) && defined(__FMA__)

#include "encoder_stages_of.hpp"

namespace edgeperso {
const Stages* avx2_stages() { return &stages_here; }
}  // namespace edgeperso

#else

#include "encoder_stages.hpp"

namespace edgeperso {
const Stages* avx2_stages() { return nullptr; }
}  // namespace edgeperso

#endif
