// What can be said in the HA log: one type per message of the reference's "HA Log Messages", and p11ha's own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace p11ha::halog {

/// A return code and its name, printed `0x00000030 : CKR_DEVICE_ERROR`. The name comes along because this folder does
/// not know Cryptoki.
struct Code {
  unsigned long value = 0;
  std::string name;
  friend bool operator==(const Code&, const Code&) = default;
};

/// An object as an administrator knows it, printed `"label" (CKO_PRIVATE_KEY, id 01)`. The label may hold any bytes;
/// `id` is CKA_ID in hexadecimal, left out where empty.
struct ObjectText {
  std::string label;
  std::string objectClass;
  std::string id;
  friend bool operator==(const ObjectText&, const ObjectText&) = default;
};

inline constexpr std::string_view kNoId;

// clang-format off
// Each row of events.def becomes an aggregate with its message ID, its text and its fields. A member is named by its
// serial number, an attempt by its number, from 1.
#define P11HA_EVENT(name, id, text, fields)                            \
  struct name {                                                        \
    static constexpr std::string_view kId = id;                        \
    static constexpr std::string_view kText = text;                    \
    fields                                                             \
    friend bool operator==(const name&, const name&) = default;        \
  };
#include "halog/events.def"
#undef P11HA_EVENT
// clang-format on

namespace detail {

template <class Ignored, class... Events>
struct VariantOf {
  using Type = std::variant<Events...>;
};

}  // namespace detail

/// One record of the HA log, without its prefix. A plain value: owned by its holder, no thread rules, valid or moved
/// from. Fields may hold any bytes (labels come from applications, serials from members): format.h makes them harmless.
#define P11HA_EVENT(name, id, text, fields) , name
using Event = detail::VariantOf<void
#include "halog/events.def"
                                >::Type;
#undef P11HA_EVENT

/// The reference's message ID ("HALOG_DROPMEMBER"), or empty where it gives none. Both messages of
/// HALOG_RECOVERYFAILED (RecoveryFailed, AttemptsExceeded) have that ID.
inline std::string_view messageId(const Event& event) {
  return std::visit([](const auto& e) { return e.kId; }, event);
}

}  // namespace p11ha::halog
