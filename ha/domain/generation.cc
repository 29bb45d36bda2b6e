#include "ha/domain/generation.h"

#include <sys/random.h>

#include <charconv>
#include <limits>

namespace p11ha::ha::domain {
namespace {

constexpr std::string_view kPrefix = "p11ha domain ";
constexpr std::string_view kHexDigits = "0123456789abcdef";

bool takePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<Generation> takeGeneration(std::string_view& text) {
  Generation generation;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), generation.number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!takePrefix(text, "-") || text.size() < 2 * generation.random.size()) return std::nullopt;
  for (std::uint8_t& byte : generation.random) {
    const std::size_t high = kHexDigits.find(text[0]);
    const std::size_t low = kHexDigits.find(text[1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    byte = static_cast<std::uint8_t>(high << 4U | low);
    text.remove_prefix(2);
  }
  generation.afterRemoval = takePrefix(text, " after-removal");
  return generation;
}

}  // namespace

std::optional<Generation> makeGeneration(std::uint32_t last, bool afterRemoval) {
  if (last == std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  Generation generation{last + 1, {}, afterRemoval};
  const auto size = static_cast<ssize_t>(generation.random.size());
  if (getrandom(generation.random.data(), generation.random.size(), 0) != size) return std::nullopt;
  return generation;
}

std::string nameOf(const Generation& generation) {
  std::string name = std::to_string(generation.number) + "-";
  for (const std::uint8_t byte : generation.random) {
    name += kHexDigits[byte >> 4U];
    name += kHexDigits[byte & 0xFU];
  }
  return generation.afterRemoval ? name + " after-removal" : name;
}

std::string nameOf(const Kind& kind) {
  std::string name = kind.seal == Seal::Sealed ? "sealed" : "open";
  name += kind.carries == CKO_PRIVATE_KEY ? " private" : " secret";
  return kind.derive ? name + " derive" : name;
}

std::string labelOf(const Generation& generation, const Kind& kind) {
  return std::string(kPrefix) + nameOf(generation) + " " + nameOf(kind);
}

std::optional<DomainKeyName> parseLabel(std::string_view label) {
  std::string_view rest = label;
  if (!takePrefix(rest, kPrefix)) return std::nullopt;
  const auto generation = takeGeneration(rest);
  if (!generation || !takePrefix(rest, " ")) return std::nullopt;
  for (const Kind& kind : kKinds) {
    if (rest != nameOf(kind)) continue;
    // One name for one key: no leading zeros.
    if (labelOf(*generation, kind) != label) return std::nullopt;
    return DomainKeyName{*generation, kind};
  }
  return std::nullopt;
}

}  // namespace p11ha::ha::domain
