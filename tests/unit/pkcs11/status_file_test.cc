// When the status file is written, on a clock that a test moves.
#include "pkcs11/status_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "compose/processes.h"
#include "compose/status_reader.h"
#include "tests/support/manual_scheduler.h"
#include "tests/support/temporary_directory.h"

namespace p11ha::pkcs11 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class StatusFiles : public testing::Test {
 protected:
  StatusFiles() {
    group.label = "demo";
    group.serial = "1000";
    group.members.emplace_back().serial = "5011";
  }
  void start() {
    file.start();
    scheduler.run();
  }
  void changed() {
    ++group.members[0].state.attempts;
    file.changed();
    scheduler.run();
  }
  std::string path() const { return directory.path() + "/" + compose::statusFileName(getpid()); }
  // What is there; nothing: no file.
  std::optional<compose::ProcessReport> written() const {
    const auto all = compose::StatusReader(directory.path()).read();
    return all.empty() ? std::nullopt : std::optional(all.front());
  }
  // How often it was written since the last time this was asked.
  std::size_t writes() {
    std::size_t count = 0;
    const auto now = written();
    if (now && now->written != before) ++count;
    if (now) before = now->written;
    return count;
  }
  std::size_t files() const {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator(directory.path())) ++count;
    return count;
  }

  const tests::TemporaryDirectory directory;
  tests::ManualClock clock;
  tests::ManualScheduler scheduler{clock};
  tests::InlineWorkers workers;
  ha::GroupStatus group;
  std::size_t collected = 0;
  StatusFile file{directory.path(), clock, scheduler, workers, [this] {
                    ++collected;
                    return std::vector{group};
                  }};
  compose::Moment before{};
};

TEST_F(StatusFiles, SaysWhoWroteItAndWhat) {
  const mode_t usual = umask(0077);
  start();
  umask(usual);
  const auto report = written();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->pid, getpid());
  EXPECT_EQ(report->started, compose::startOf(getpid()));
  EXPECT_EQ(report->program, "unit-pkcs11");
  ASSERT_EQ(report->groups.size(), 1U);
  EXPECT_EQ(report->groups[0].label, "demo");
  EXPECT_EQ(report->groups[0].members[0].serial, "5011");
  struct stat found {};
  ASSERT_EQ(stat(path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0644U) << "others may read it, whatever the application's umask is";
  EXPECT_EQ(files(), 2U) << "the other is for Prometheus";
  std::ifstream metrics(directory.path() + "/" + compose::metricsFileName(getpid()));
  const std::string text{std::istreambuf_iterator<char>(metrics), {}};
  EXPECT_NE(text.find("group=\"demo\",member=\"5011\"} "), std::string::npos) << text;
}

TEST_F(StatusFiles, IsWrittenOnAChangeAndAtMostOnceASecond) {
  start();
  EXPECT_EQ(writes(), 1U);
  scheduler.advance(seconds(1));
  changed();
  EXPECT_EQ(writes(), 1U);
  for (int i = 0; i < 9; ++i) {
    scheduler.advance(milliseconds(100));
    changed();
  }
  EXPECT_EQ(writes(), 0U);
  scheduler.advance(milliseconds(100));
  EXPECT_EQ(writes(), 1U) << "the last change is not forgotten";
  EXPECT_EQ(collected, 3U);
}

TEST_F(StatusFiles, IsNotWrittenForNothing) {
  start();
  scheduler.advance(seconds(1));
  writes();
  file.changed();
  scheduler.advance(seconds(60));
  EXPECT_EQ(writes(), 0U);
  EXPECT_GE(collected, 12U) << "counts are looked at, though";
}

TEST_F(StatusFiles, FollowsItsCounts) {
  start();
  writes();
  for (int i = 0; i < 3; ++i) {
    ++group.members[0].calls;
    scheduler.advance(seconds(5));
    EXPECT_EQ(writes(), 1U);
    EXPECT_EQ(written()->groups[0].members[0].calls, group.members[0].calls);
  }
}

TEST_F(StatusFiles, IsTriedAgainWhereItCouldNotBeWritten) {
  start();
  scheduler.advance(seconds(1));
  writes();
  std::filesystem::rename(directory.path(), directory.path() + ".away");
  changed();
  EXPECT_FALSE(written());
  std::filesystem::rename(directory.path() + ".away", directory.path());
  scheduler.advance(seconds(5));
  EXPECT_EQ(writes(), 1U);
}

TEST_F(StatusFiles, IsTriedAgainWhereThereWasNoThread) {
  workers.exhausted = true;
  start();
  EXPECT_FALSE(written());
  workers.exhausted = false;
  scheduler.advance(seconds(5));
  EXPECT_TRUE(written());
}

TEST_F(StatusFiles, WaitsForAWriteThatTakesLong) {
  workers.queueing = true;
  start();
  ASSERT_EQ(workers.queued(), 1U);
  for (int i = 0; i < 5; ++i) {
    scheduler.advance(seconds(10));
    changed();
  }
  EXPECT_EQ(workers.queued(), 1U);
  workers.runQueued();
  scheduler.run();
  EXPECT_EQ(workers.queued(), 1U) << "what changed meanwhile is written now";
  workers.runQueued();
  scheduler.run();
  EXPECT_EQ(workers.queued(), 0U);
}

TEST_F(StatusFiles, IsRemovedAtTheEndAndDoesNotComeBack) {
  start();
  scheduler.advance(seconds(1));
  workers.queueing = true;
  changed();
  file.remove();
  EXPECT_EQ(files(), 0U);
  workers.runQueued();
  EXPECT_EQ(files(), 0U);
}

TEST_F(StatusFiles, FollowsNoLinkThatSomebodyLaidOut) {
  const std::string victim = directory.path() + "/victim";
  std::ofstream(victim) << "untouched";
  const std::string trap = directory.path() + "/" + compose::unfinishedFileName(getpid());
  ASSERT_EQ(symlink(victim.c_str(), trap.c_str()), 0);
  ASSERT_EQ(symlink(victim.c_str(), path().c_str()), 0);
  start();
  EXPECT_TRUE(written());
  std::string text;
  std::getline(std::ifstream(victim), text);
  EXPECT_EQ(text, "untouched");
  EXPECT_TRUE(std::filesystem::is_regular_file(std::filesystem::symlink_status(path())));
}

TEST_F(StatusFiles, SweepsWhatTheDeadLeftBehindOnce) {
  const auto left = [&] { return directory.path() + "/" + compose::statusFileName(getppid()); };
  std::ofstream(left()) << compose::format({getppid(), 1, "before", {}, {}});
  start();
  EXPECT_FALSE(std::filesystem::exists(left()));
  EXPECT_TRUE(written());
}

}  // namespace
}  // namespace p11ha::pkcs11
