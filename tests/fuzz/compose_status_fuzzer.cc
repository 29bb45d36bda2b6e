// Any bytes as a status file: what is read is written and read again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "compose/status_report.h"
#include "halog/escape.h"

namespace {

using namespace p11ha::compose;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

bool fits(const std::string& text) { return text.size() <= p11ha::halog::kMaxTextBytes; }

// Are all texts written as they are?
bool fits(const ProcessReport& report) {
  const auto member = [](const MemberReport& m) {
    return fits(m.serial) && fits(m.state) && fits(m.cause) && fits(m.lastError) && fits(m.problem);
  };
  const auto group = [&member](const GroupReport& g) {
    return fits(g.label) && fits(g.serial) && std::all_of(g.members.begin(), g.members.end(), member);
  };
  return fits(report.program) && std::all_of(report.groups.begin(), report.groups.end(), group);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto report = parse({reinterpret_cast<const char*>(data), size});
  if (!report) return 0;
  const auto again = parse(format(*report));
  require(again.has_value(), "what was written can be read");
  require(again->groups.size() == report->groups.size(), "with all its groups");
  require(!fits(*report) || *again == *report, "it is the same");
  return 0;
}
