// functions.def as a table: what is known of each function, for whoever treats calls generically.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <type_traits>

#include "cryptoki/roles.h"

namespace p11ha::cryptoki {

/// The functions, in the order of CK_FUNCTION_LIST_3_0.
enum class Fn : std::uint8_t {
#define FN(name, ...) name,
#include "cryptoki/functions.def"
#undef FN
};

#define FN(name, ...) +1
/// How many there are.
inline constexpr std::size_t kFunctionCount = 0
#include "cryptoki/functions.def"
    ;
#undef FN

/// Those that make random keys: they may take long (KeyGenCallDeadline), and cannot be made twice.
constexpr bool isKeyGeneration(Fn fn) { return fn == Fn::GenerateKey || fn == Fn::GenerateKeyPair; }

enum class Route : std::uint8_t { Library, Slot, Session };

/// The operations a session can have active, each at most once (PKCS #11 v3.0, 5.6.8).
enum class Op : std::uint8_t {
  None,
  Find,
  Encrypt,
  Decrypt,
  Digest,
  Sign,
  SignRecover,
  Verify,
  VerifyRecover,
  MessageEncrypt,
  MessageDecrypt,
  MessageSign,
  MessageVerify,
};
inline constexpr std::size_t kOpCount = 13;

enum class EffectKind : std::uint8_t { None, Begin, Whole, Part, Final, Message, Dual, Cancel, Restore };

/// What a call does to the session's operations.
struct Effect {
  EffectKind kind = EffectKind::None;
  Op op = Op::None;
  Op second = Op::None;
};

/// What a retry may do once a member is lost (DESIGN.md, "What a member answers, and what is retried").
enum class Replay : std::uint8_t { Always, Reinit, Journal, Idempotent, Create, Context, Own };

/// Where a call runs: see functions.def.
enum class Spread : std::uint8_t { Any, Here, Primary, All, Local };

/// One argument: its role and the machine word of the Call where it begins.
struct Argument {
  RoleKind role{};
  std::uint8_t word = 0;
  std::uint8_t words = 0;
};

inline constexpr std::size_t kMaxWords = 9;      // C_EncryptMessage
inline constexpr std::size_t kMaxArguments = 6;  // C_GenerateKeyPair

/// A row of functions.def. Constant, static storage.
struct Function {
  std::string_view name;  // with its C_
  Route route{};
  Effect effect;
  Replay replay{};
  Spread spread{};
  std::array<Argument, kMaxArguments> arguments{};
  std::uint8_t argumentCount = 0;
  std::uint8_t wordCount = 0;
  std::uint8_t mechanismWord = 0;             // of its CK_MECHANISM; 0: it has none, as the first word is never one
  std::uint8_t outputWord = 0;                // likewise of its OutBytes
  std::array<std::uint8_t, 2> objectWords{};  // of the handles of objects
  std::uint8_t objectCount = 0;
  std::uint16_t infoSize = 0;  // bytes of what its OutInfo points to

  constexpr std::span<const Argument> args() const { return {arguments.data(), argumentCount}; }
  constexpr const Argument* find(RoleKind role) const {
    for (std::size_t i = 0; i < argumentCount; ++i) {
      if (arguments[i].role == role) return &arguments[i];
    }
    return nullptr;
  }
};

/// Is this role a handle of an object, so that it differs from member to member?
constexpr bool isObjectHandle(RoleKind role) {
  return role == RoleKind::ObjectId || role == RoleKind::KeyId || role == RoleKind::WrappingKeyId ||
         role == RoleKind::UnwrappingKeyId || role == RoleKind::OptionalKeyId;
}

namespace detail::rows {
using namespace role;

inline constexpr Effect None{};
inline constexpr Effect Cancel{EffectKind::Cancel, Op::None, Op::None};
inline constexpr Effect Restore{EffectKind::Restore, Op::None, Op::None};
template <Op O>
constexpr Effect Begin{EffectKind::Begin, O, Op::None};
template <Op O>
constexpr Effect Whole{EffectKind::Whole, O, Op::None};
template <Op O>
constexpr Effect Part{EffectKind::Part, O, Op::None};
template <Op O>
constexpr Effect Final{EffectKind::Final, O, Op::None};
template <Op O>
constexpr Effect Message{EffectKind::Message, O, Op::None};
template <Op A, Op B>
constexpr Effect Dual{EffectKind::Dual, A, B};

// The size of the structure that an OutInfo is, else 0.
template <class Role>
consteval std::uint16_t infoSize() {
  if constexpr (Role::kind == RoleKind::OutInfo) {
    return sizeof(std::remove_pointer_t<std::tuple_element_t<0, typename Role::Parameters>>);
  } else {
    return 0;
  }
}

// A row whose roles are given as types.
template <class... Roles>
consteval Function row(std::string_view name, Route route, Effect effect, Replay replay, Spread spread) {
  static_assert(sizeof...(Roles) <= kMaxArguments);
  static_assert((Roles::words + ...) <= kMaxWords);
  Function f{name, route, effect, replay, spread};
  ((f.arguments[f.argumentCount++] = {Roles::kind, f.wordCount, Roles::words},
    f.wordCount = static_cast<std::uint8_t>(f.wordCount + Roles::words)),
   ...);
  f.infoSize = (std::uint16_t{0} + ... + infoSize<Roles>());
  for (const Argument& argument : f.args()) {
    if (argument.role == RoleKind::Mechanism) f.mechanismWord = argument.word;
    if (argument.role == RoleKind::OutBytes) f.outputWord = argument.word;
    if (isObjectHandle(argument.role)) f.objectWords[f.objectCount++] = argument.word;
  }
  return f;
}

#define COMMA ,
#define FN(name, route_, effect_, replay_, spread_, ...) \
  row<__VA_ARGS__>("C_" #name, Route::route_, effect_, Replay::replay_, Spread::spread_),
inline constexpr std::array<Function, kFunctionCount> kFunctions{{
#include "cryptoki/functions.def"
}};
#undef FN
#undef COMMA
}  // namespace detail::rows

/// All rows: constants, so that what follows from a function that is known when compiling is decided then.
using detail::rows::kFunctions;

/// The row of a function. Any thread; cannot fail.
constexpr const Function& function(Fn fn) { return kFunctions[static_cast<std::size_t>(fn)]; }

/// The function of that name ("C_Sign"), or nullptr.
const Fn* findFunction(std::string_view name);

}  // namespace p11ha::cryptoki
