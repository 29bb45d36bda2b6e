// The HA log while the application runs: configured anew, and where it cannot be written. No call notices.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/module/group_fixture.h"

namespace p11ha::tests {
namespace {

class GroupLogFaults : public WorkingGroup {
 protected:
  std::string logPath() const { return (store.folder() / "log").string(); }
  std::string logFile() const { return logPath() + "/haErrorLog.txt"; }
  /// The configuration with the log elsewhere, and with further lines.
  std::string logging(const std::string& path, const std::string& more = {}) const {
    std::string written = configuration(theGroup(), "   HAOnly = 1;\n" + more, theModule());
    const std::string before = "haLogPath = " + logPath() + ";";
    return written.replace(written.find(before), before.size(), "haLogPath = " + path + ";");
  }
  static std::string contents(const std::string& path) {
    std::ifstream in(path);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  /// A call that succeeds and leaves a record, or would: which one.
  std::string record() {
    std::string label = "record" + std::to_string(++records) + "x";
    Pair pair;
    EXPECT_EQ(generate(CKM_EC_KEY_PAIR_GEN, label, pair, false), CKR_OK);
    EXPECT_EQ(sign(pair.privateKey), CKR_OK);
    return label;
  }
  bool leavesOne(const std::string& path) {
    const std::string made = record();
    return contents(path).find(made) != std::string::npos;
  }
  /// After a change or a fault: makes records until one is in the file.
  void awaitRecord(const std::string& path) {
    await([&] { return leavesOne(path); }, "a record in " + path);
  }
  /// Makes records until one is not.
  void awaitNone(const std::string& path) {
    await([&] { return !leavesOne(path); }, "a record that is not in " + path);
  }
  /// The records that are in the log, or were told to be missing.
  std::size_t accounted(const std::string& text) const {
    std::size_t count = countOf(text, "record");
    const std::string told = "p11ha: ";
    for (std::size_t at = text.find(" log records were dropped"); at != std::string::npos;
         at = text.find(" log records were dropped", at + 1)) {
      count += std::stoul(text.substr(text.rfind(told, at) + told.size())) - 1;  // "record" is in the line, too
    }
    return count;
  }

  std::size_t records = 0;
};

TEST_F(GroupLogFaults, TheLogGoesElsewhere) {
  const std::string other = (store.folder() / "other").string();
  std::filesystem::create_directory(other);
  configure(logging(other));
  awaitRecord(other + "/haErrorLog.txt");
  const std::string here = log();
  record();
  EXPECT_EQ(log(), here);
  EXPECT_EQ(accounted(here + contents(other + "/haErrorLog.txt")), records) << "each is in one of them";
}

TEST_F(GroupLogFaults, TheLogIsSwitchedOffAndOn) {
  awaitRecord(logFile());
  std::string off = logging(logPath());
  off.replace(off.find("enabled"), 7, "disabled");
  configure(off);
  awaitNone(logFile());
  const std::string before = log();
  record();
  EXPECT_EQ(log(), before);
  configure(logging(logPath()));
  awaitRecord(logFile());
  EXPECT_EQ(logged("log records were dropped"), 0U) << "those that nobody wanted";
}

TEST_F(GroupLogFaults, ItsLengthCountsAtOnce) {
  configure(logging(logPath(), "   logLen = 200;\n"));
  const auto files = [&] {
    return std::distance(std::filesystem::directory_iterator(logPath()), std::filesystem::directory_iterator());
  };
  await([&] { return record(), files() > 1; }, "a file that is set aside");
}

// What was open stays what is written to as long as there is nothing else.
TEST_F(GroupLogFaults, TheDirectoryIsTakenAway) {
  record();
  std::filesystem::rename(logPath(), logPath() + ".away");
  for (int i = 0; i < 3; ++i) record();
  std::filesystem::create_directory(logPath());
  awaitRecord(logFile());
  EXPECT_EQ(accounted(contents(logPath() + ".away/haErrorLog.txt") + log()), records);
}

TEST_F(GroupLogFaults, ADirectoryThatIsNotThere) {
  configure(logging(logPath() + ".later"));
  awaitNone(logFile());
  record();
  std::filesystem::create_directory(logPath() + ".later");
  awaitRecord(logPath() + ".later/haErrorLog.txt");
  EXPECT_EQ(accounted(log() + contents(logPath() + ".later/haErrorLog.txt")), records);
}

TEST_F(GroupLogFaults, TheFileIsTakenAway) {
  record();
  std::filesystem::remove(logFile());
  awaitRecord(logFile());
}

TEST_F(GroupLogFaults, ADirectoryIsInItsPlace) {
  const std::string there = logPath() + ".other/haErrorLog.txt";
  std::filesystem::create_directories(there);
  configure(logging(logPath() + ".other"));
  awaitNone(logFile());
  record();
  std::filesystem::remove(there);
  awaitRecord(there);
  EXPECT_EQ(countOf(contents(there), " log records were dropped"), 1U) << contents(there);
  EXPECT_EQ(accounted(log() + contents(there)), records);
}

// Nobody may make a file there, whoever he is.
TEST_F(GroupLogFaults, TheDirectoryCannotBeWritten) {
  configure(logging("/proc/self"));
  awaitNone(logFile());
  record();
  configure(logging(logPath()));
  awaitRecord(logFile());
  EXPECT_EQ(logged(" log records were dropped"), 1U) << log();
  EXPECT_EQ(accounted(log()), records);
}

// Files of this process may not grow. The limit is so new that nobody expects the signal.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  sighandler_t handler_ = SIG_DFL;
};

TEST_F(GroupLogFaults, TheDiskIsFull) {
  // Longer than what modules and tests write meanwhile, which has to fit.
  std::ofstream(logFile(), std::ios::app) << std::string(65'000, 'x') << '\n';
  const std::string before = log();
  {
    const FileSizeLimit limit(before.size() + 40);
    for (int i = 0; i < 3; ++i) record();
  }
  EXPECT_EQ(log().rfind(before, 0), 0U);
  EXPECT_LE(log().size(), before.size() + 40);
  awaitRecord(logFile());
  EXPECT_EQ(logged("p11ha: 3 log records were dropped"), 1U);
}

class GroupLogProcesses : public GroupTest {};

// Each C_Initialize and C_Finalize leaves three records.
TEST_F(GroupLogProcesses, TwoRotateAtOnce) {
  constexpr int kRounds = 12;
  configure(configuration(theGroup(), "   HAOnly = 1;\n   logLen = 300;\n", theModule()));
  const auto rounds = [] {
    const CK_FUNCTION_LIST_3_0_PTR f = loadModule(kGroupModule);
    for (int i = 0; i < kRounds; ++i) {
      if (f == nullptr || f->C_Initialize(nullptr) != CKR_OK) return false;
      CK_SESSION_HANDLE session = 0;
      if (f->C_OpenSession(0, CKF_SERIAL_SESSION, nullptr, nullptr, &session) != CKR_OK) return false;
      CK_BYTE bytes[8];
      if (f->C_GenerateRandom(session, bytes, sizeof bytes) != CKR_OK || f->C_Finalize(nullptr) != CKR_OK) return false;
    }
    return true;
  };
  std::vector<pid_t> processes;
  for (int i = 0; i < 2; ++i) {
    const pid_t process = fork();
    ASSERT_GE(process, 0);
    if (process == 0) _exit(rounds() ? 0 : 1);
    processes.push_back(process);
  }
  for (const pid_t process : processes) {
    int status = 0;
    ASSERT_EQ(waitpid(process, &status, 0), process);
    EXPECT_EQ(status, 0);
  }
  std::size_t started = 0;
  std::size_t ended = 0;
  std::size_t lines = 0;
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(store.folder() / "log")) {
    std::ifstream in(entry.path());
    std::string line;
    ++files;
    while (std::getline(in, line)) {
      ++lines;
      started += countOf(line, " management thread started");
      ended += countOf(line, " management thread terminated");
      EXPECT_EQ(countOf(line, " HA group: 1000 "), 1U) << line;
    }
  }
  EXPECT_EQ(started, 2U * kRounds);
  EXPECT_EQ(ended, 2U * kRounds);
  EXPECT_EQ(lines, 6U * kRounds);
  EXPECT_GT(files, 10U);
}

}  // namespace
}  // namespace p11ha::tests
