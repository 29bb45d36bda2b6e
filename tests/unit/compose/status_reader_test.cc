// A directory that several processes write to.
#include "compose/status_reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "compose/processes.h"
#include "tests/support/temporary_directory.h"

namespace p11ha::compose {
namespace {

class Directory : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return directory.path() + "/" + name; }
  void put(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }
  static std::string text(std::int64_t pid, std::uint64_t started) {
    return format({pid, started, "program", Moment(), {}});
  }
  // A number that no process has.
  static pid_t ended() {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, nullptr, 0);
    return child;
  }
  std::vector<std::string> leftovers() const {
    std::vector<std::string> names;
    for (const std::string& left : reader.leftovers()) names.push_back(left.substr(directory.path().size() + 1));
    std::sort(names.begin(), names.end());
    return names;
  }

  const tests::TemporaryDirectory directory;
  const StatusReader reader{directory.path()};
  const std::int64_t own = getpid();
  const std::uint64_t started = startOf(getpid()).value_or(0);
};

TEST_F(Directory, HasTheFilesOfLivingProcesses) {
  ASSERT_NE(started, 0U);
  const std::int64_t dead = ended();
  const std::int64_t parent = getppid();
  put(statusFileName(own), text(own, started));
  put(statusFileName(dead), text(dead, started));
  put(metricsFileName(dead), "# HELP");
  put(unfinishedFileName(dead), "p11ha-st");
  put(statusFileName(parent), text(parent, 1'234));  // before that process, there was another of its number
  std::vector<std::int64_t> found;
  for (const ProcessReport& each : reader.read()) found.push_back(each.pid);
  EXPECT_EQ(found, std::vector<std::int64_t>{own});
  std::vector<std::string> expected{statusFileName(dead), metricsFileName(dead), unfinishedFileName(dead),
                                    statusFileName(parent)};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(leftovers(), expected);
}

TEST_F(Directory, MayHoldWhatIsNone) {
  put("README", "text");
  put("-1.status", text(own, started));
  put("0.status", text(own, started));
  put("1x.status", text(own, started));
  put("00" + statusFileName(own), text(own, started));
  put("99999999999999999999.status", text(own, started));
  put("....", "");
  put(statusFileName(own), "torn");
  mkfifo(path(statusFileName(getppid())).c_str(), 0644);
  ASSERT_EQ(symlink("/dev/zero", path("1.status").c_str()), 0);
  EXPECT_TRUE(reader.read().empty());
  EXPECT_TRUE(leftovers().empty()) << leftovers().front();
}

TEST_F(Directory, IsNotBelievedWhereAFileNamesAnotherProcess) {
  put(statusFileName(own), text(getppid(), startOf(getppid()).value_or(0)));
  EXPECT_TRUE(reader.read().empty());
}

TEST_F(Directory, MayNotBeThere) {
  const StatusReader none(path("none"));
  EXPECT_TRUE(none.read().empty());
  EXPECT_TRUE(none.leftovers().empty());
}

}  // namespace
}  // namespace p11ha::compose
