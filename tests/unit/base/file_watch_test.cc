#include "base/file_watch.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>
#include <tuple>

#include "tests/support/temporary_directory.h"

namespace p11ha::base {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class FileWatchTest : public testing::Test {
 protected:
  FileWatchTest() { write("first"); }

  void write(const std::string& text) const { std::ofstream(file, std::ios::binary) << text; }
  void begin(milliseconds fallback = hours(1)) {
    watch = std::make_unique<FileWatch>(file, stampOf(file), fallback, [this] {
      ++seen;
      return takes.load();
    });
  }
  /// Waits, as long as the kernel may take at most, until the change was seen.
  void expectSeen(std::size_t least) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (seen < least && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_GE(seen, least);
  }

  const tests::TemporaryDirectory temporary;
  const std::filesystem::path directory = temporary.path();
  std::filesystem::path file = directory / "file";
  std::atomic<std::size_t> seen{0};
  std::atomic<bool> takes{true};
  std::unique_ptr<FileWatch> watch;
};

TEST_F(FileWatchTest, AFileThatIsWrittenAnew) {
  begin();
  write("second, which is longer");
  expectSeen(1);
}

TEST_F(FileWatchTest, AFileThatKeepsItsSizeAndTime) {
  begin();
  const FileStamp before = *stampOf(file);
  const auto time = std::filesystem::last_write_time(file);
  // Till the kernel's clock, by whose ticks such changes are dated, has moved on.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (*stampOf(file) == before && std::chrono::steady_clock::now() < deadline) {
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary) << "other";
    std::filesystem::last_write_time(file, time);
  }
  const FileStamp after = *stampOf(file);
  EXPECT_EQ(std::tie(after.size, after.seconds, after.nanoseconds),
            std::tie(before.size, before.seconds, before.nanoseconds));
  expectSeen(1);
}

TEST_F(FileWatchTest, AFileThatIsReplaced) {
  begin();
  std::ofstream(directory / "new") << "second";
  std::filesystem::rename(directory / "new", file);
  expectSeen(1);
  const std::size_t before = seen;
  std::ofstream(directory / "new") << "third";
  std::filesystem::rename(directory / "new", file);
  expectSeen(before + 1);
}

TEST_F(FileWatchTest, AFileThatIsTakenAwayAndComesBack) {
  begin();
  std::filesystem::remove(file);
  expectSeen(1);
  const std::size_t before = seen;
  write("again");
  expectSeen(before + 1);
}

// As a container is given its configuration: the file is a link through a link to a directory, which is exchanged.
TEST_F(FileWatchTest, AFileBehindLinks) {
  for (const char* version : {"one", "two"}) {
    std::filesystem::create_directory(directory / version);
    std::ofstream(directory / version / "file") << version;
  }
  std::filesystem::create_symlink("one", directory / "data");
  std::filesystem::remove(file);
  std::filesystem::create_symlink("data/file", file);
  begin();
  std::ofstream(directory / "one" / "file") << "written where it is";
  expectSeen(1);
  const std::size_t before = seen;
  std::filesystem::create_symlink("two", directory / "new");
  std::filesystem::rename(directory / "new", directory / "data");
  expectSeen(before + 1);
  const std::size_t then = seen;
  std::ofstream(directory / "two" / "file") << "written where it is now";
  expectSeen(then + 1);
}

TEST_F(FileWatchTest, AChangeBeforeItBegan) {
  const auto known = stampOf(file);
  write("second, which is longer");
  watch = std::make_unique<FileWatch>(file, known, hours(1), [this] { return ++seen != 0; });
  expectSeen(1);
}

TEST_F(FileWatchTest, ADirectoryThatIsNotThereYetIsLookedAfter) {
  file = directory / "later" / "file";
  begin(milliseconds(20));
  std::filesystem::create_directory(directory / "later");
  write("at last");
  expectSeen(1);
}

TEST_F(FileWatchTest, WhatIsNotTakenIsToldAgain) {
  takes = false;
  begin(milliseconds(20));
  write("second, which is longer");
  expectSeen(3);
  takes = true;
  // At most one more is under way.
  const std::size_t before = seen;
  expectSeen(before + 1);
  watch->stop();
  EXPECT_LE(seen, before + 2);
}

TEST_F(FileWatchTest, AnotherFileOfTheDirectoryIsNoNews) {
  begin();
  std::ofstream(directory / "other") << "text";
  // By the time that this change is seen, that one was looked at.
  write("second, which is longer");
  expectSeen(1);
  watch->stop();
  EXPECT_LE(seen, 2U) << "emptied, and written";
}

TEST_F(FileWatchTest, ItEndsAtOnceAndTellsNothingAfterwards) {
  begin();
  watch->stop();
  write("second, which is longer");
  watch->stop();
  EXPECT_EQ(seen, 0U);
}

TEST_F(FileWatchTest, ItTakesNoSignals) {
  std::atomic<std::size_t> blocked{0};
  watch = std::make_unique<FileWatch>(file, std::nullopt, hours(1), [&] {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGALRM) == 1 ? 1 : 2;
    ++seen;
    return true;
  });
  expectSeen(1);
  EXPECT_EQ(blocked, 1U);
}

}  // namespace
}  // namespace p11ha::base
