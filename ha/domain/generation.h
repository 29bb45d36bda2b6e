// What the keys of a cloning domain are, and what they are called on a token (CLONING.md, "The domain").
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cryptoki/pkcs11.h"

namespace p11ha::ha::domain {

enum class Seal : std::uint8_t {
  Open,    // carries keys that the application made extractable
  Sealed,  // carries keys that it made non-extractable; TRUSTED
};

/// One of the eight kinds of domain key. A key travels only by the kind that is made for it.
struct Kind {
  Seal seal{};
  CK_OBJECT_CLASS carries = CKO_PRIVATE_KEY;  // or CKO_SECRET_KEY
  bool derive = false;                        // CKA_DERIVE of what it carries
  friend bool operator==(const Kind&, const Kind&) = default;
};

/// All of them, the sealed ones first. Constant.
inline constexpr std::array<Kind, 8> kKinds = {{
    {Seal::Sealed, CKO_PRIVATE_KEY, false},
    {Seal::Sealed, CKO_PRIVATE_KEY, true},
    {Seal::Sealed, CKO_SECRET_KEY, false},
    {Seal::Sealed, CKO_SECRET_KEY, true},
    {Seal::Open, CKO_PRIVATE_KEY, false},
    {Seal::Open, CKO_PRIVATE_KEY, true},
    {Seal::Open, CKO_SECRET_KEY, false},
    {Seal::Open, CKO_SECRET_KEY, true},
}};

/// The keys that one join made, on all members. The later one is greater: by its number, and where two were made apart
/// under one number, in some order that is everywhere the same.
struct Generation {
  std::uint32_t number = 0;
  std::array<std::uint8_t, 8> random{};
  /// Made because a member was removed, which has all keys before it: none of those is used again.
  bool afterRemoval = false;
  // clang-tidy takes what a defaulted one compares with for a null pointer.
  friend auto operator<=>(const Generation&, const Generation&) = default;  // NOLINT(modernize-use-nullptr)
};

/// The number after `last`, and random bytes. Nothing: the system has none, or there is no number after it.
std::optional<Generation> makeGeneration(std::uint32_t last, bool afterRemoval);

/// "3-0f1e2d3c4b5a6978", for messages and within labels; "3-0f1e2d3c4b5a6978 after-removal".
std::string nameOf(const Generation& generation);
/// "sealed private derive", likewise.
std::string nameOf(const Kind& kind);

/// CKA_ID of every domain key, all alike, so that one search finds those of all kinds and generations.
inline constexpr std::string_view kDomainKeyId = "p11ha domain key";

/// CKA_LABEL of a domain key: "p11ha domain 3-0f1e2d3c4b5a6978 sealed private".
std::string labelOf(const Generation& generation, const Kind& kind);

struct DomainKeyName {
  Generation generation;
  Kind kind;
  friend bool operator==(const DomainKeyName&, const DomainKeyName&) = default;
};

/// What labelOf() made; nothing of any other text. Whether a key of that name is what it says is another question: see
/// holding.h. Pure; any thread.
std::optional<DomainKeyName> parseLabel(std::string_view label);

}  // namespace p11ha::ha::domain
