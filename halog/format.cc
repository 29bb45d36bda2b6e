#include "halog/format.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <tuple>

#include "halog/escape.h"

namespace p11ha::halog {
namespace {

constexpr std::string_view kCodeText = "<ErrorCodeHex> : <ErrorCodeString>";

constexpr std::size_t placeholderSize(std::string_view text) {
  return text.starts_with(kCodeText) ? kCodeText.size() : text.find('>') + 1;
}

constexpr std::size_t placeholders(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<')) {
    ++count;
    text.remove_prefix(at + placeholderSize(text.substr(at)));
  }
  return count;
}

// The text around the placeholders.
template <class E>
constexpr auto kPieces = [] {
  std::array<std::string_view, placeholders(E::kText) + 1> pieces;
  std::string_view text = E::kText;
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    const std::size_t at = text.find('<');
    pieces.at(i) = text.substr(0, at);
    text.remove_prefix(at + placeholderSize(text.substr(at)));
  }
  pieces.back() = text;
  return pieces;
}();

// The structured bindings tie a text to its fields: a placeholder too few or too many does not compile.
template <class E>
auto fieldsOf(const E& event) {
  constexpr std::size_t kFields = placeholders(E::kText);
  static_assert(kFields <= 4);
  if constexpr (kFields == 0) {
    static_assert(std::is_empty_v<E>);
    return std::tuple<>();
  } else if constexpr (kFields == 1) {
    const auto& [a] = event;
    return std::tie(a);
  } else if constexpr (kFields == 2) {
    const auto& [a, b] = event;
    return std::tie(a, b);
  } else if constexpr (kFields == 3) {
    const auto& [a, b, c] = event;
    return std::tie(a, b, c);
  } else {
    const auto& [a, b, c, d] = event;
    return std::tie(a, b, c, d);
  }
}

void append(std::string& out, const std::string& text) { appendEscaped(out, text); }

void append(std::string& out, std::uint64_t number) { out += std::to_string(number); }

void append(std::string& out, const Code& code) {
  std::array<char, 2 + 2 * sizeof(code.value) + 4> hex{};
  std::snprintf(hex.data(), hex.size(), "0x%08lX : ", code.value);
  out += hex.data();
  appendEscaped(out, code.name);
}

void append(std::string& out, const ObjectText& object) {
  out += '"';
  appendEscaped(out, object.label);
  out += "\" (";
  appendEscaped(out, object.objectClass);
  if (!object.id.empty()) {
    out += ", id ";
    appendEscaped(out, object.id);
  }
  out += ')';
}

void appendMessage(std::string& out, const Event& event) {
  std::visit(
      [&out]<class E>(const E& e) {
        const std::string_view* piece = kPieces<E>.data();
        out += *piece;
        std::apply([&](const auto&... field) { ((append(out, field), out += *++piece), ...); }, fieldsOf(e));
      },
      event);
}

}  // namespace

std::tm localTime(base::Wall wall) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(wall).time_since_epoch().count();
  std::tm local{};
  localtime_r(&seconds, &local);
  return local;
}

std::string lineHead(std::string_view groupSerial, pid_t pid, const std::tm& local) {
  // strftime's names follow the process's locale.
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(),
                "%s %s %2d %02d:%02d:%02d %d : [%ld] HA group: ", kDays.at(static_cast<unsigned>(local.tm_wday)),
                kMonths.at(static_cast<unsigned>(local.tm_mon)), local.tm_mday, local.tm_hour, local.tm_min,
                local.tm_sec, 1900 + local.tm_year, static_cast<long>(pid));
  std::string head = text.data();
  appendEscaped(head, groupSerial);
  head += ' ';
  return head;
}

std::string message(const Event& event) {
  std::string out;
  appendMessage(out, event);
  return out;
}

void appendLine(std::string& out, const Event& event, std::string_view lineHead) {
  out += lineHead;
  appendMessage(out, event);
  out += '\n';
}

std::string line(const Event& event, std::string_view groupSerial, pid_t pid, const std::tm& local) {
  std::string out;
  appendLine(out, event, lineHead(groupSerial, pid, local));
  return out;
}

}  // namespace p11ha::halog
