#include "halog/escape.h"

#include <cstdint>
#include <cstring>

namespace p11ha::halog {
namespace {

struct Sequence {
  std::size_t size = 0;  // 0: the bytes are not UTF-8
  std::uint32_t point = 0;
};

std::uint8_t byteAt(std::string_view text, std::size_t at) { return static_cast<std::uint8_t>(text[at]); }

Sequence decode(std::string_view text) {
  const std::uint8_t lead = byteAt(text, 0);
  if (lead < 0x80) return {1, lead};
  std::size_t size = 0;
  std::uint32_t point = 0;
  std::uint32_t smallest = 0;
  if ((lead & 0xE0U) == 0xC0) {
    size = 2, point = lead & 0x1FU, smallest = 0x80;
  } else if ((lead & 0xF0U) == 0xE0) {
    size = 3, point = lead & 0x0FU, smallest = 0x800;
  } else if ((lead & 0xF8U) == 0xF0) {
    size = 4, point = lead & 0x07U, smallest = 0x10000;
  } else {
    return {};
  }
  if (text.size() < size) return {};
  for (std::size_t i = 1; i < size; ++i) {
    const std::uint8_t next = byteAt(text, i);
    if ((next & 0xC0U) != 0x80) return {};
    point = point << 6U | (next & 0x3FU);
  }
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (point < smallest || point > 0x10FFFF || surrogate) return {};
  return {size, point};
}

bool plain(char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

// Eight characters at once: nearly every text is plain all through.
bool plain8(const char* text) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = 0x80 * kOnes;
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof word);
  const auto below = [](std::uint64_t bytes, std::uint64_t bound) { return (bytes - bound * kOnes) & ~bytes; };
  const auto equal = [&below](std::uint64_t bytes, std::uint64_t byte) { return below(bytes ^ (byte * kOnes), 1); };
  const std::uint64_t special = word | below(word, 0x20) | equal(word, 0x7F) | equal(word, '"') | equal(word, '\\');
  return (special & kHighs) == 0;
}

std::size_t plainPrefix(std::string_view text) {
  std::size_t size = 0;
  while (size + 8 <= text.size() && plain8(text.data() + size)) size += 8;
  while (size < text.size() && plain(text[size])) ++size;
  return size;
}

bool harmless(std::uint32_t point) {
  const bool control = point < 0x20 || (point >= 0x7F && point < 0xA0);
  const bool separator = point == 0x2028 || point == 0x2029;
  const bool direction = point == 0x61C || point == 0x200E || point == 0x200F || (point >= 0x202A && point <= 0x202E) ||
                         (point >= 0x2066 && point <= 0x2069);
  return !control && !separator && !direction;
}

// Where gcc sees the bound of a copy it makes it a `rep movs`, whose start alone costs more than formatting the record.
[[gnu::noinline]] void appendPlain(std::string& out, std::string_view text) { out += text; }

void appendHex(std::string& out, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::uint8_t byte = byteAt(bytes, i);
    out += "\\x";
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 0x0FU];
  }
}

// Quotes and backslashes get a backslash where they are `guarded`.
void append(std::string& out, std::string_view text, bool guarded, std::size_t most) {
  std::size_t taken = plainPrefix(text.substr(0, most));
  appendPlain(out, text.substr(0, taken));
  while (taken < text.size()) {
    const std::string_view rest = text.substr(taken);
    const Sequence next = decode(rest);
    const std::size_t size = next.size == 0 ? 1 : next.size;
    if (taken + size > most) {
      out += "...";
      return;
    }
    if (next.size == 0 || !harmless(next.point)) {
      appendHex(out, rest.substr(0, size));
    } else {
      if (guarded && (next.point == '"' || next.point == '\\')) out += '\\';
      out += rest.substr(0, size);
    }
    taken += size;
  }
}

}  // namespace

void appendEscaped(std::string& out, std::string_view text) { append(out, text, true, kMaxTextBytes); }

void appendHarmless(std::string& out, std::string_view line) { append(out, line, false, line.size()); }

}  // namespace p11ha::halog
