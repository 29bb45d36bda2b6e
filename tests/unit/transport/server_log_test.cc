#include "transport/server/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace p11ha::transport {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

// A file size limit for a scope, as good as a full disk: of the line at the limit, what fits is written.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  sighandler_t handler_;
  rlimit before_{};
};

class ServerLogTest : public testing::Test {
 protected:
  ServerLogTest() { EXPECT_FALSE(log_.open(path())); }
  std::string path() const { return folder_.path() + "/log"; }
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    std::ifstream in(path());
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }

  tests::TemporaryDirectory folder_;
  Log log_;
};

TEST_F(ServerLogTest, SaysHowManyRecordsWereDroppedAndLeavesNoPartOfThem) {
  log_.info("one");
  {
    const FileSizeLimit limit(std::filesystem::file_size(path()) + 20);
    log_.info("two");
    log_.warning("three");
    EXPECT_THAT(lines(), ElementsAre(EndsWith("info: one")));
  }
  log_.info("four");
  log_.info("five");
  EXPECT_THAT(lines(), ElementsAre(EndsWith("info: one"),
                                   EndsWith("error: the log could not be written: 2 records were dropped here"),
                                   EndsWith("info: four"), EndsWith("info: five")));
}

// Another process has the same file, and found it full at the same time.
TEST_F(ServerLogTest, NobodyGoesOnWithAPartOfAnothersLine) {
  Log other;
  ASSERT_FALSE(other.open(path()));
  log_.info("one");
  {
    const FileSizeLimit limit(std::filesystem::file_size(path()) + 20);
    log_.info("two");
  }
  other.info("three");
  EXPECT_THAT(lines(), ElementsAre(EndsWith("info: one"), EndsWith("info: three")));
}

TEST_F(ServerLogTest, WhatCannotBeTakenBackStaysALineOfItsOwn) {
  log_.use(open(path().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  {
    const FileSizeLimit limit(20);
    log_.info("one");
  }
  log_.info("two");
  EXPECT_THAT(lines(),
              ElementsAre(testing::SizeIs(20), EndsWith("1 records were dropped here"), EndsWith("info: two")));
}

TEST_F(ServerLogTest, NothingInItsPlaceMakesItWait) {
  const std::string pipe = folder_.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(log_.open(pipe));
  for (int i = 0; i < 2000; ++i) log_.info(std::string(100, 'x'));
}

TEST_F(ServerLogTest, AFileThatCannotBeOpenedLeavesTheOneBefore) {
  const std::string wrong = folder_.path() + "/nowhere/log";
  EXPECT_EQ(log_.open(wrong), wrong + ": No such file or directory");
  log_.info("one");
  EXPECT_THAT(lines(), ElementsAre(EndsWith("info: one")));
}

}  // namespace
}  // namespace p11ha::transport
