// A call is a value: the function and its C arguments as machine words. What each word means, the function's row says.
#pragma once

#include <bit>
#include <type_traits>

#include "cryptoki/function.h"

namespace p11ha::cryptoki {

namespace detail {
template <Fn F>
struct SignatureOf;
#define FN(name, ...)            \
  template <>                    \
  struct SignatureOf<Fn::name> { \
    using Pointer = CK_C_##name; \
  };
#include "cryptoki/functions.def"
#undef FN

template <class Signature>
struct ParametersOf;
template <class... Params>
struct ParametersOf<CK_RV (*)(Params...)> {
  using Type = std::tuple<Params...>;
};
/// The type of a C_ function's parameter.
template <class Signature, std::size_t I>
using ParameterOf = std::tuple_element_t<I, typename ParametersOf<Signature>::Type>;

template <class T>
std::uintptr_t toWord(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<std::uintptr_t>(value);
  } else {
    static_assert(std::is_integral_v<T>);
    return static_cast<std::uintptr_t>(value);
  }
}

template <class T>
T fromWord(std::uintptr_t word) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<T>(word);  // NOLINT(performance-no-int-to-ptr)
  } else {
    return static_cast<T>(word);
  }
}
}  // namespace detail

/// Borrows whatever its arguments point to: valid as long as the caller's arguments are. Copying is cheap; one thread.
struct Call {
  Fn fn;
  std::array<std::uintptr_t, kMaxWords> words;

  template <class T>
  T get(std::size_t word) const {
    return detail::fromWord<T>(words[word]);
  }
  template <class T>
  void set(std::size_t word, T value) {
    words[word] = detail::toWord(value);
  }

  /// The session of a Session call, the slot of a Slot call: both are the first word.
  CK_SESSION_HANDLE session() const { return words[0]; }
  CK_SLOT_ID slot() const { return words[0]; }
  void setSession(CK_SESSION_HANDLE handle) { words[0] = handle; }
  void setSlot(CK_SLOT_ID slot) { words[0] = slot; }
};

namespace detail {
template <class Pointer>
struct Maker;
template <class... Params>
struct Maker<CK_RV (*)(Params...)> {
  static Call make(Fn fn, Params... params) { return Call{fn, {toWord(params)...}}; }
};
}  // namespace detail

/// Makes a Call of F; the arguments convert as they would in calling the C function.
template <Fn F, class... Args>
Call makeCall(Args... args) {
  return detail::Maker<typename detail::SignatureOf<F>::Pointer>::make(F, args...);
}

/// The entry points of a module: a v3.0 list whose missing functions are null.
using FunctionList = CK_FUNCTION_LIST_3_0;

namespace detail {
/// How a call gets into a module, and beside it what else has to be known on that way.
struct Lowering {
  CK_RV (*run)(const FunctionList&, const std::uintptr_t* words);
  Route route;
};
extern const std::array<Lowering, kFunctionCount> kLowerings;
}  // namespace detail

inline const detail::Lowering& lowering(Fn fn) { return detail::kLowerings[static_cast<std::size_t>(fn)]; }

/// Lowers a call onto a module: CKR_FUNCTION_NOT_SUPPORTED where the module has no such function.
inline CK_RV invoke(const FunctionList& functions, const Call& call) {
  return lowering(call.fn).run(functions, call.words.data());
}

}  // namespace p11ha::cryptoki
