// The text of a status file, written and read.
#include "compose/status_report.h"

#include <gtest/gtest.h>

#include "halog/escape.h"

namespace p11ha::compose {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr Moment kWall = std::chrono::sys_days(std::chrono::year(2026) / 2 / 28) + hours(23) + milliseconds(1'007);
const base::Monotonic kNow(hours(5));

ha::GroupStatus aGroup() {
  ha::GroupStatus group{"demo", "1000", kNow - milliseconds(250), {}};
  ha::MemberStatus& down = group.members.emplace_back();
  down.serial = "5011";
  down.state.phase = ha::Phase::Down;
  down.state.cause = ha::Cause::Dropped;
  down.state.since = kNow - milliseconds(90'500);
  down.state.attempts = 3;
  down.state.nextAttempt = kNow + milliseconds(2'500);
  down.state.lastError = CKR_DEVICE_REMOVED;
  down.state.problem = "no\troute";
  down.outstanding = 2;
  down.calls = 1'000'000'000'000;
  down.failovers = 4;
  ha::MemberStatus& standby = group.members.emplace_back();
  standby.serial = "5012";
  standby.standby = standby.serves = true;
  standby.state.since = kNow;
  return group;
}

ProcessReport aReport() { return {4242, 987'654, "a program", kWall, {report(aGroup(), kNow, kWall)}}; }

TEST(StatusReport, LooksLikeThis) {
  EXPECT_EQ(format(aReport()),
            "p11ha-status 1\n"
            "process\t4242\t987654\ta program\t2026-02-28T23:00:01.007Z\n"
            "# group\tlabel\tserial\tall lost since\n"
            "# member\tserial\tstate\tserves\tcause\tsince\tage, ms\tattempts\tnext attempt\toutstanding\tcalls\t"
            "failovers\tlast error\tproblem\n"
            "group\tdemo\t1000\t2026-02-28T23:00:00.757Z\n"
            "member\t5011\tdown\tno\tdropped\t2026-02-28T22:58:30.507Z\t90500\t3\t2026-02-28T23:00:03.507Z\t2\t"
            "1000000000000\t4\tCKR_DEVICE_REMOVED\tno\\x09route\n"
            "member\t5012\tstandby\tyes\t\t2026-02-28T23:00:01.007Z\t0\t0\t-\t0\t0\t0\tCKR_OK\t\n");
}

TEST(StatusReport, IsReadAsItWasWritten) {
  ProcessReport said = aReport();
  EXPECT_EQ(parse(format(said)), said);
  said.program = "tab\t, line\n, \\x41, \"quoted\", \xff\xfe, \xc3\xa4 and \xe2\x80\xae";
  said.groups.push_back({"", "", {}, {}});
  EXPECT_EQ(parse(format(said)), said);
  said.groups.clear();
  EXPECT_EQ(parse(format(said)), said);
}

TEST(StatusReport, CutsATextWithoutEnd) {
  ProcessReport said = aReport();
  said.program.assign(100'000, 'x');
  const auto read = parse(format(said));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->program, std::string(halog::kMaxTextBytes, 'x') + "...");
  EXPECT_EQ(read->groups, said.groups);
}

TEST(StatusReport, PassesOverWhatALaterWriterAdds) {
  std::string text = format(aReport());
  for (std::size_t at = text.find('\n', text.find("process")); at != std::string::npos; at = text.find('\n', at + 6)) {
    text.insert(at, "\tmore");
  }
  text += "else\twhatever\\\n\n";
  EXPECT_EQ(parse(text), aReport());
}

TEST(StatusReport, IsWholeOrNone) {
  const std::string text = format(aReport());
  // Cut behind a line, what is before it is whole, but for the process it is of.
  const std::size_t named = text.find('\n', text.find('\n') + 1) + 1;
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(parse(text.substr(0, size)).has_value(), size >= named && text[size - 1] == '\n') << size;
  }
}

TEST(StatusReport, RefusesWhatIsNone) {
  const std::string first = "p11ha-status 1\n";
  const std::string process = "process\t1\t2\tp\t2026-01-01T00:00:00.000Z\n";
  const std::string group = "group\tl\ts\t-\n";
  const std::string member = "member\ts\tactive\tyes\t\t2026-01-01T00:00:00.000Z\t0\t0\t-\t0\t0\t0\tCKR_OK\t\n";
  ASSERT_TRUE(parse(first + process + group + member));
  const std::string bad[] = {
      "",
      process,
      "p11ha-status 2\n" + process,
      first,
      first + process + process,
      first + process + member,
      first + "process\t0\t2\tp\t2026-01-01T00:00:00.000Z\n",
      first + "process\t1\t-2\tp\t2026-01-01T00:00:00.000Z\n",
      first + "process\t1\t2\tp\\\t2026-01-01T00:00:00.000Z\n",
      first + "process\t1\t2\tp\\x4\t2026-01-01T00:00:00.000Z\n",
      first + "process\t1\t2\tp\\xGG\t2026-01-01T00:00:00.000Z\n",
      first + "process\t1\t2\tp\t2026-02-29T00:00:00.000Z\n",
      first + "process\t1\t2\tp\t2026-01-01T24:00:00.000Z\n",
      first + "process\t1\t2\tp\t2026-01-01T00:60:00.000Z\n",
      first + "process\t1\t2\tp\t2026-01-01T00:00:60.000Z\n",
      first + "process\t1\t2\tp\t2026-01-01T00:00:00Z\n",
      first + "process\t1\t2\tp\t2026-01-01T00:00:00.000\n",
      first + "process\t1\t2\tp\t2026-01-01T00:00:00.000Zx\n",
      first + "process\t1\t2\tp\t2026-01-01T00:00:00.0+0Z\n",
      first + "process\t1\t2\tp\t-\n",
      first + "process\t1\t2\tp\n",
      first + process + "group\tl\ts\n",
      first + process + "group\tl\ts\tnever\n",
      first + process + group + "member\ts\tactive\tmaybe\t\t2026-01-01T00:00:00.000Z\t0\t0\t-\t0\t0\t0\tCKR_OK\t\n",
      first + process + group + member.substr(0, member.size() - 2) + "\n",
  };
  for (const std::string& text : bad) EXPECT_FALSE(parse(text)) << text;
}

}  // namespace
}  // namespace p11ha::compose
