#include "compose/status_report.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <span>
#include <utility>

#include "cryptoki/return_codes.h"
#include "halog/escape.h"

namespace p11ha::compose {
namespace {

using std::chrono::milliseconds;
using Fields = std::vector<std::string_view>;

constexpr std::string_view kFirstLine = "p11ha-status 1";
constexpr std::string_view kNone = "-";

Moment toWall(base::Monotonic then, base::Monotonic now, Moment wall) {
  return wall - std::chrono::duration_cast<milliseconds>(now - then);
}

void appendField(std::string& out, std::string_view text) {
  out += '\t';
  halog::appendEscaped(out, text);
}
void appendField(std::string& out, const char* text) { appendField(out, std::string_view(text)); }
void appendField(std::string& out, std::uint64_t number) { out += '\t' + std::to_string(number); }
void appendField(std::string& out, std::int64_t number) { out += '\t' + std::to_string(number); }
void appendField(std::string& out, Moment moment) {
  const auto day = std::chrono::floor<std::chrono::days>(moment);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss<milliseconds> time(moment - day);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "\t%04d-%02u-%02uT%02ld:%02ld:%02ld.%03ldZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                time.minutes().count(), time.seconds().count(), time.subseconds().count());
  out += text.data();
}
void appendField(std::string& out, const std::optional<Moment>& moment) {
  if (moment) {
    appendField(out, *moment);
  } else {
    appendField(out, kNone);
  }
}

template <class... Values>
void appendLine(std::string& out, std::string_view word, const Values&... values) {
  out += word;
  (appendField(out, values), ...);
  out += '\n';
}

Fields split(std::string_view line) {
  Fields fields;
  for (;;) {
    const std::size_t at = line.find('\t');
    fields.push_back(line.substr(0, at));
    if (at == std::string_view::npos) return fields;
    line.remove_prefix(at + 1);
  }
}

template <class T>
bool readNumber(std::string_view text, T& number, int base = 10) {
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, number, base);
  return failed == std::errc() && rest == end;
}

// A number of just so many digits, taken from the front, and the mark behind it.
bool takeDigits(std::string_view& text, std::size_t digits, char mark, unsigned& number) {
  if (text.size() <= digits || text[digits] != mark || !readNumber(text.substr(0, digits), number)) return false;
  text.remove_prefix(digits + 1);
  return true;
}

bool read(std::string_view text, Moment& moment) {
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hours = 0;
  unsigned minutes = 0;
  unsigned seconds = 0;
  unsigned millis = 0;
  const bool spelt = takeDigits(text, 4, '-', year) && takeDigits(text, 2, '-', month) &&
                     takeDigits(text, 2, 'T', day) && takeDigits(text, 2, ':', hours) &&
                     takeDigits(text, 2, ':', minutes) && takeDigits(text, 2, '.', seconds) &&
                     takeDigits(text, 3, 'Z', millis) && text.empty();
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(year)), std::chrono::month(month),
                                         std::chrono::day(day));
  if (!spelt || !date.ok() || hours > 23 || minutes > 59 || seconds > 59) return false;
  moment = std::chrono::sys_days(date) + std::chrono::hours(hours) + std::chrono::minutes(minutes) +
           std::chrono::seconds(seconds) + milliseconds(millis);
  return true;
}
bool read(std::string_view text, std::optional<Moment>& moment) {
  moment.reset();
  return text == kNone || read(text, moment.emplace());
}
bool read(std::string_view text, bool& value) {
  value = text == "yes";
  return value || text == "no";
}
bool read(std::string_view text, std::uint64_t& number) { return readNumber(text, number); }
bool read(std::string_view text, std::int64_t& number) { return readNumber(text, number); }
bool read(std::string_view text, milliseconds& time) {
  std::int64_t count = 0;
  if (!readNumber(text, count)) return false;
  time = milliseconds(count);
  return true;
}
// Undoes halog::appendEscaped().
bool read(std::string_view text, std::string& value) {
  value.clear();
  while (!text.empty()) {
    std::size_t taken = 1;
    char next = text[0];
    if (next == '\\') {
      unsigned byte = 0;
      if (text.size() >= 2 && (text[1] == '\\' || text[1] == '"')) {
        next = text[1];
        taken = 2;
      } else if (text.size() >= 4 && text[1] == 'x' && readNumber(text.substr(2, 2), byte, 16)) {
        next = static_cast<char>(byte);
        taken = 4;
      } else {
        return false;
      }
    }
    value += next;
    text.remove_prefix(taken);
  }
  return true;
}

// The fields behind the first, into those values; there may be more.
template <class... Values>
bool readFields(const Fields& fields, Values&... values) {
  if (fields.size() < 1 + sizeof...(values)) return false;
  std::size_t at = 0;
  return (read(fields[++at], values) && ...);
}

bool readLine(const Fields& fields, ProcessReport& into, bool& named) {
  const std::string_view word = fields[0];
  if (word == "process") {
    if (std::exchange(named, true)) return false;
    return readFields(fields, into.pid, into.started, into.program, into.written) && into.pid > 0;
  }
  if (word == "group") {
    GroupReport& group = into.groups.emplace_back();
    return readFields(fields, group.label, group.serial, group.allLostSince);
  }
  if (word == "member") {
    if (into.groups.empty()) return false;
    MemberReport& m = into.groups.back().members.emplace_back();
    return readFields(fields, m.serial, m.state, m.serves, m.cause, m.since, m.age, m.attempts, m.nextAttempt,
                      m.outstanding, m.calls, m.failovers, m.lastError, m.problem);
  }
  return true;
}

}  // namespace

GroupReport report(const ha::GroupStatus& status, base::Monotonic now, Moment wall) {
  GroupReport group{status.label, status.serial, {}, {}};
  if (status.allLostSince) group.allLostSince = toWall(*status.allLostSince, now, wall);
  for (const ha::MemberStatus& member : status.members) {
    MemberReport& row = group.members.emplace_back();
    row.serial = member.serial;
    row.state = ha::stateName(member);
    row.serves = member.serves;
    row.cause = ha::causeName(member.state.cause);
    row.since = toWall(member.state.since, now, wall);
    row.age = wall - row.since;
    row.attempts = member.state.attempts;
    if (member.state.nextAttempt) row.nextAttempt = toWall(*member.state.nextAttempt, now, wall);
    row.outstanding = static_cast<std::uint64_t>(std::max(member.outstanding, 0L));
    row.calls = member.calls;
    row.failovers = member.failovers;
    row.lastError = cryptoki::returnCodeName(member.state.lastError);
    row.problem = member.state.problem;
  }
  return group;
}

std::string format(const ProcessReport& report) {
  std::string out(kFirstLine);
  out += '\n';
  appendLine(out, "process", report.pid, report.started, report.program, report.written);
  if (!report.groups.empty()) {
    appendLine(out, "# group", "label", "serial", "all lost since");
    appendLine(out, "# member", "serial", "state", "serves", "cause", "since", "age, ms", "attempts", "next attempt",
               "outstanding", "calls", "failovers", "last error", "problem");
  }
  for (const GroupReport& group : report.groups) {
    appendLine(out, "group", group.label, group.serial, group.allLostSince);
    for (const MemberReport& m : group.members) {
      appendLine(out, "member", m.serial, m.state, m.serves ? "yes" : "no", m.cause, m.since,
                 std::int64_t{m.age.count()}, m.attempts, m.nextAttempt, m.outstanding, m.calls, m.failovers,
                 m.lastError, m.problem);
    }
  }
  return out;
}

std::optional<ProcessReport> parse(std::string_view text) {
  ProcessReport result;
  bool named = false;
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (std::exchange(first, false)) {
      if (line != kFirstLine) return std::nullopt;
    } else if (!readLine(split(line), result, named)) {
      return std::nullopt;
    }
  }
  return named ? std::optional(std::move(result)) : std::nullopt;
}

}  // namespace p11ha::compose
