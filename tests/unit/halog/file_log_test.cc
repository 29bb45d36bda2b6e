// One process and its log: settings, rotation, and everything that can stand in the way.
#include "halog/file_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include "halog/format.h"
#include "tests/support/manual_clock.h"
#include "tests/unit/halog/log_directory.h"

namespace p11ha::halog {
namespace {

class FileLogTest : public testing::Test {
 protected:
  FileLogTest() {
    setenv("TZ", "UTC0", 1);
    tzset();
  }

  void write(FileLog& log, const std::string& member) { log.write(kGroup, DropMember{member}); }
  void write(const std::string& member) { write(log_, member); }

  // What a record of that member looks like, without its newline.
  std::string dropped(const std::string& member) const { return expected(DropMember{member}); }
  std::string expected(const Event& event) const {
    std::string text = line(event, kGroup, getpid(), localTime(clock_.wall()));
    text.pop_back();
    return text;
  }
  std::vector<std::string> lines() const { return linesOf(directory_.file()); }
  void nextInterval() { clock_.advance(std::chrono::milliseconds(100)); }

  using Lines = std::vector<std::string>;

  const LogDirectory directory_;
  tests::ManualClock clock_;
  FileLog log_{clock_, {.directory = directory_.path()}};
};

TEST_F(FileLogTest, WritesRecordsAsTheyCome) {
  write("1");
  log_.write("22", MembersOffline{});
  EXPECT_EQ(contents(directory_.file()),
            dropped("1") + "\n" + line(MembersOffline{}, "22", getpid(), localTime(clock_.wall())));
  struct stat seen {};
  ASSERT_EQ(stat(directory_.file().c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mode & 07133U, 0U) << "nobody but the owner writes, nobody runs";
  EXPECT_EQ(log_.counters().written, 2U);
  EXPECT_EQ(log_.counters().dropped, 0U);
}

TEST_F(FileLogTest, AppendsToWhatIsThere) {
  std::ofstream(directory_.file()) << "earlier\n";
  write("1");
  EXPECT_EQ(lines(), (Lines{"earlier", dropped("1")}));
}

TEST_F(FileLogTest, NothingIsWrittenWhileItIsOff) {
  log_.configure({.directory = directory_.path(), .enabled = false});
  write("1");
  log_.configure({});
  write("2");
  EXPECT_TRUE(directory_.names().empty());
  log_.configure({.directory = directory_.path()});
  write("3");
  EXPECT_EQ(lines(), Lines{dropped("3")});
  EXPECT_EQ(log_.counters().written, 1U);
  EXPECT_EQ(log_.counters().dropped, 0U) << "what nobody wanted is not dropped";
}

TEST_F(FileLogTest, DirectoryCanChange) {
  const LogDirectory other;
  write("1");
  log_.configure({.directory = other.path()});
  write("2");
  log_.configure({.directory = directory_.path()});
  write("3");
  EXPECT_EQ(lines(), (Lines{dropped("1"), dropped("3")}));
  EXPECT_EQ(linesOf(other.file()), Lines{dropped("2")});
}

TEST_F(FileLogTest, RecordIsFinishedThenTheFileIsSetAside) {
  const std::uint64_t length = dropped("1").size() + 1;
  log_.configure({.directory = directory_.path(), .maxLength = length + 1});
  write("1");
  EXPECT_EQ(directory_.names(), Lines{"haErrorLog.txt"});
  write("2");
  EXPECT_EQ(directory_.names(), (Lines{"haErrorLog.txt", "haErrorLog_20171004_162921.txt"}));
  EXPECT_EQ(linesOf(directory_.file("haErrorLog_20171004_162921.txt")), (Lines{dropped("1"), dropped("2")}));
  write("3");
  EXPECT_EQ(lines(), Lines{dropped("3")});
  EXPECT_EQ(log_.counters().rotations, 1U);
}

TEST_F(FileLogTest, NamesThatAreTakenGetANumber) {
  std::ofstream(directory_.file("haErrorLog_20171004_162921_1.txt")) << "not ours\n";
  log_.configure({.directory = directory_.path(), .maxLength = 1});
  for (const char* member : {"1", "2", "3"}) write(member);
  clock_.advance(std::chrono::seconds(1));
  write("4");
  EXPECT_EQ(directory_.names(), (Lines{"haErrorLog.txt", "haErrorLog_20171004_162921.txt",
                                       "haErrorLog_20171004_162921_1.txt", "haErrorLog_20171004_162921_2.txt",
                                       "haErrorLog_20171004_162921_3.txt", "haErrorLog_20171004_162922.txt"}));
  EXPECT_EQ(contents(directory_.file("haErrorLog_20171004_162921_1.txt")), "not ours\n");
  EXPECT_EQ(log_.counters().rotations, 4U);
}

TEST_F(FileLogTest, LengthCanChange) {
  write("1");
  log_.configure({.directory = directory_.path(), .maxLength = 1});
  write("2");
  EXPECT_EQ(linesOf(directory_.file("haErrorLog_20171004_162921.txt")), (Lines{dropped("1"), dropped("2")}));
  log_.configure({.directory = directory_.path()});
  write("3");
  write("4");
  EXPECT_EQ(lines(), (Lines{dropped("3"), dropped("4")}));
}

TEST_F(FileLogTest, MissingDirectoryIsWaitedForNotMade) {
  const std::string path = directory_.file("later");
  log_.configure({.directory = path});
  write("1");
  nextInterval();
  write("2");
  EXPECT_TRUE(directory_.names().empty());
  std::filesystem::create_directory(path);
  nextInterval();
  write("3");
  write("4");
  EXPECT_EQ(linesOf(path + "/haErrorLog.txt"), (Lines{expected(LogRecordsDropped{2}), dropped("3"), dropped("4")}));
  EXPECT_EQ(log_.counters().written, 2U);
  EXPECT_EQ(log_.counters().dropped, 2U);
}

TEST_F(FileLogTest, DirectoryThatComesBackIsUsedAgain) {
  const std::string path = directory_.file("gone");
  std::filesystem::create_directory(path);
  log_.configure({.directory = path});
  write("1");
  std::filesystem::remove_all(path);
  nextInterval();
  write("2");
  std::filesystem::create_directory(path);
  nextInterval();
  write("3");
  EXPECT_EQ(linesOf(path + "/haErrorLog.txt"), (Lines{expected(LogRecordsDropped{1}), dropped("3")}));
}

TEST_F(FileLogTest, RemovedFileIsMadeAgain) {
  write("1");
  std::filesystem::remove(directory_.file());
  nextInterval();
  write("2");
  EXPECT_EQ(lines(), Lines{dropped("2")});
  EXPECT_EQ(log_.counters().dropped, 0U);
}

TEST_F(FileLogTest, FileRenamedBySomebodyElseIsLeftToThem) {
  write("1");
  std::filesystem::rename(directory_.file(), directory_.file("haErrorLog.txt.1"));
  write("2");
  nextInterval();
  write("3");
  EXPECT_EQ(lines(), Lines{dropped("3")});
  EXPECT_EQ(linesOf(directory_.file("haErrorLog.txt.1")).size(), 2U) << "not lost";
}

TEST_F(FileLogTest, FileOfARenamedDirectoryIsKeptUntilThereIsAnother) {
  const std::string path = directory_.file("now");
  std::filesystem::create_directory(path);
  log_.configure({.directory = path});
  write("1");
  std::filesystem::rename(path, directory_.file("before"));
  nextInterval();
  write("2");
  EXPECT_EQ(linesOf(directory_.file("before/haErrorLog.txt")).size(), 2U);
  std::filesystem::create_directory(path);
  nextInterval();
  write("3");
  EXPECT_EQ(linesOf(path + "/haErrorLog.txt"), Lines{dropped("3")});
  EXPECT_EQ(log_.counters().dropped, 0U);
}

TEST_F(FileLogTest, TruncatedFileGoesOn) {
  write("1");
  std::filesystem::resize_file(directory_.file(), 0);
  write("2");
  EXPECT_EQ(lines(), Lines{dropped("2")});
}

TEST_F(FileLogTest, SymbolicLinkIsNotFollowed) {
  std::ofstream(directory_.file("victim")) << "precious\n";
  std::filesystem::create_symlink(directory_.file("victim"), directory_.file());
  write("1");
  EXPECT_EQ(contents(directory_.file("victim")), "precious\n");
  std::filesystem::remove(directory_.file());
  std::filesystem::create_symlink(directory_.file("not there"), directory_.file());
  nextInterval();
  write("2");
  EXPECT_FALSE(std::filesystem::exists(directory_.file("not there")));
  std::filesystem::remove(directory_.file());
  nextInterval();
  write("3");
  EXPECT_EQ(lines(), (Lines{expected(LogRecordsDropped{2}), dropped("3")}));
}

TEST_F(FileLogTest, FifoNeitherHangsNorGetsRecords) {
  ASSERT_EQ(mkfifo(directory_.file().c_str(), 0644), 0);
  write("1");
  const int reader = open(directory_.file().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  nextInterval();
  write("2");
  char byte = 0;
  EXPECT_LE(read(reader, &byte, 1), 0);
  close(reader);
  EXPECT_EQ(log_.counters().dropped, 2U);
}

TEST_F(FileLogTest, DirectoryInItsPlaceIsNoFile) {
  std::filesystem::create_directory(directory_.file());
  write("1");
  EXPECT_EQ(log_.counters().dropped, 1U);
}

// A soft file size limit for a scope.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
};

TEST_F(FileLogTest, TornRecordGetsALineOfItsOwnAndNoSignalIsRaised) {
  write("1");
  const std::string whole = contents(directory_.file());
  {
    const FileSizeLimit limit(whole.size() + 40);
    nextInterval();
    write("2");
    write("3");
  }
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGXFSZ), 0);
  const std::string torn = dropped("2").substr(0, 40);
  EXPECT_EQ(contents(directory_.file()), whole + torn);
  write("4");
  EXPECT_EQ(contents(directory_.file()),
            whole + torn + "\n" + expected(LogRecordsDropped{2}) + "\n" + dropped("4") + "\n");
  EXPECT_EQ(log_.counters().torn, 1U);
  EXPECT_EQ(log_.counters().dropped, 2U);
  EXPECT_EQ(log_.counters().written, 2U);
}

TEST_F(FileLogTest, RecordTornByAnotherIsNotContinued) {
  FileLog other(clock_, {.directory = directory_.path()});
  write("1");
  write(other, "2");
  const std::string whole = contents(directory_.file());
  {
    const FileSizeLimit limit(whole.size() + 40);
    nextInterval();
    write("3");
    write(other, "4");
  }
  write(other, "5");
  write("6");
  const Lines expectedLines = {dropped("1"),
                               dropped("2"),
                               dropped("3").substr(0, 40),
                               expected(LogRecordsDropped{1}),
                               dropped("5"),
                               expected(LogRecordsDropped{1}),
                               dropped("6")};
  EXPECT_EQ(lines(), expectedLines);
}

TEST_F(FileLogTest, TailLeftByAProcessThatDiedIsCompleted) {
  std::ofstream(directory_.file()) << "half a rec";
  write("1");
  EXPECT_EQ(lines(), (Lines{"half a rec", dropped("1")}));
}

TEST_F(FileLogTest, FullDiskDropsAndResumes) {
  // The mount is seen by this process alone.
  if (unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "needs the right to mount";
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) GTEST_SKIP() << "the root is no mount (chroot)";
  if (mount("none", directory_.path().c_str(), "tmpfs", 0, "size=16k") != 0) GTEST_SKIP() << "needs the right to mount";
  std::ofstream(directory_.file("ballast")) << std::string(8192, 'x');
  std::uint64_t sent = 0;
  while (log_.counters().dropped < 10 && sent < 10000) write(std::to_string(sent++));
  ASSERT_EQ(log_.counters().dropped, 10U);
  std::filesystem::remove(directory_.file("ballast"));
  write("last");
  Lines whole;
  std::uint64_t tornLines = 0;
  for (const std::string& text : lines()) {
    if (text == dropped(std::to_string(whole.size())) || text == dropped("last") ||
        text == expected(LogRecordsDropped{10})) {
      whole.push_back(text);
    } else {
      EXPECT_TRUE(dropped(std::to_string(whole.size())).starts_with(text)) << text;
      ++tornLines;
    }
  }
  EXPECT_EQ(whole.size(), log_.counters().written + 1);
  EXPECT_EQ(tornLines, log_.counters().torn);
  EXPECT_EQ(log_.counters().torn, 1U);
  EXPECT_EQ(log_.counters().written + log_.counters().dropped, sent + 1);
  umount(directory_.path().c_str());
}

TEST_F(FileLogTest, WhoMayNotRenameKeepsAppending) {
  std::ofstream(directory_.file()) << "";
  chmod(directory_.file().c_str(), 0666);
  chmod(directory_.path().c_str(), 0555);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(1);
    log_.configure({.directory = directory_.path(), .maxLength = 1});
    for (int i = 0; i < 50; ++i) {
      write(std::to_string(i));
      nextInterval();
    }
    const LogCounters counters = log_.counters();
    _exit(counters.written == 50 && counters.dropped == 0 && counters.rotations == 0 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  chmod(directory_.path().c_str(), 0755);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(directory_.names(), Lines{"haErrorLog.txt"});
  EXPECT_EQ(lines().size(), 50U);
}

TEST_F(FileLogTest, DescriptorClosedByTheApplicationIsNotWrittenTo) {
  const int below = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(below);
  write("1");
  const int decoy = open(directory_.file("decoy").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(dup2(decoy, below), below) << "the log's descriptor is now the decoy's";
  nextInterval();
  write("2");
  EXPECT_EQ(contents(directory_.file("decoy")), "");
  EXPECT_EQ(lines().size(), 2U);
  EXPECT_NE(fcntl(below, F_GETFD), -1) << "nor is it closed";
  close(below);
  close(decoy);
}

// Calls back while a record is being written.
class InterruptingClock final : public base::Clock {
 public:
  base::Monotonic now() const override { return {}; }
  base::Wall wall() const override {
    if (interrupt) std::exchange(interrupt, nullptr)();
    return std::chrono::system_clock::from_time_t(1507134561);
  }
  mutable std::function<void()> interrupt;
};

TEST_F(FileLogTest, ChildForkedInTheMiddleOfARecordWritesItsOwn) {
  InterruptingClock clock;
  FileLog log(clock, {.directory = directory_.path()});
  write(log, "before");
  pid_t child = -1;
  clock.interrupt = [&] {
    child = fork();
    if (child != 0) return;
    alarm(60);
    write(log, "of the child");
    log.configure({.directory = directory_.path(), .maxLength = 1});
    write(log, "set aside by the child");
    _exit(log.counters().rotations == 1 ? 0 : 1);
  };
  write(log, "of the parent");
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  std::string all;
  for (const std::string& name : directory_.names()) all += contents(directory_.file(name));
  const auto has = [&all](pid_t pid, const std::string& member) {
    return all.find("[" + std::to_string(pid) + "] HA group: 11234840370164 has dropped member: " + member + "\n") !=
           std::string::npos;
  };
  EXPECT_TRUE(has(getpid(), "before"));
  EXPECT_TRUE(has(getpid(), "of the parent"));
  EXPECT_TRUE(has(child, "of the child"));
  EXPECT_TRUE(has(child, "set aside by the child"));
}

TEST_F(FileLogTest, ThreadsAndSettingsMayMeet) {
  constexpr std::uint64_t kRecords = 2000;
  constexpr std::size_t kThreads = 4;
  log_.configure({.directory = directory_.path(), .maxLength = 4096});
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (std::uint64_t i = 0; i < kRecords; ++i) log_.write(kGroup, Recovered{i, std::to_string(t)});
    });
  }
  for (std::uint64_t length = 4096; length < 4196; ++length) {
    log_.configure({.directory = directory_.path(), .maxLength = length});
    EXPECT_LE(log_.counters().written, kThreads * kRecords);
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t records = 0;
  for (const std::string& name : directory_.names()) records += linesOf(directory_.file(name)).size();
  EXPECT_EQ(records, kThreads * kRecords);
  EXPECT_EQ(log_.counters().written, kThreads * kRecords);
  EXPECT_EQ(log_.counters().rotations + 1, directory_.names().size());
}

}  // namespace
}  // namespace p11ha::halog
