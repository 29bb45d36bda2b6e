#include "cryptoki/call.h"

#include <utility>

namespace p11ha::cryptoki {
namespace {

template <auto Entry, class Pointer>
struct Lower;
template <auto Entry, class... Params>
struct Lower<Entry, CK_RV (*)(Params...)> {
  static CK_RV run(const FunctionList& functions, const std::uintptr_t* words) {
    const auto entry = functions.*Entry;
    if (entry == nullptr) return CKR_FUNCTION_NOT_SUPPORTED;
    return [&]<std::size_t... I>(std::index_sequence<I...>) { return entry(detail::fromWord<Params>(words[I])...); }
    (std::index_sequence_for<Params...>());
  }
};

}  // namespace

constinit const std::array<detail::Lowering, kFunctionCount> detail::kLowerings = {{
#define FN(name, route, ...) {&Lower<&FunctionList::C_##name, CK_C_##name>::run, Route::route},
#include "cryptoki/functions.def"
#undef FN
}};

}  // namespace p11ha::cryptoki
