// Many processes on one log: no record is lost, torn or doubled, and only full files are set aside.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <map>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "halog/file_log.h"
#include "tests/unit/halog/log_directory.h"

namespace p11ha::halog {
namespace {

constexpr std::size_t kProcesses = 8;
constexpr std::uint64_t kRecords = 20000;
constexpr std::uint64_t kMaxLength = 8192;

// What the processes tell each other.
struct Shared {
  std::atomic<std::size_t> ready{0};
  std::array<std::atomic<std::uint64_t>, kProcesses> written{};
  std::array<std::atomic<std::uint64_t>, kProcesses> dropped{};
  std::atomic<std::uint64_t> rotations{0};
};

class SharedMemory {
 public:
  SharedMemory() {
    void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    shared_ = new (memory) Shared;
  }
  ~SharedMemory() { munmap(shared_, sizeof(Shared)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  Shared* operator->() const { return shared_; }

 private:
  Shared* shared_ = nullptr;
};

// Every record falls into another interval, so that the file's name is looked at before each; all in one second, so
// that every name but one needs its suffix.
class RestlessClock final : public base::Clock {
 public:
  base::Monotonic now() const override { return {}; }
  base::Wall wall() const override {
    odd_ = !odd_;
    return std::chrono::system_clock::from_time_t(1507134561) + std::chrono::milliseconds(odd_ ? 0 : 100);
  }

 private:
  mutable bool odd_ = false;
};

[[noreturn]] void writeRecords(const base::Clock& clock, const std::string& directory, std::size_t process,
                               const SharedMemory& shared) {
  FileLog log(clock, {.directory = directory, .maxLength = kMaxLength});
  const std::string member = std::to_string(process);
  ++shared->ready;
  while (shared->ready < kProcesses) sched_yield();
  for (std::uint64_t i = 0; i < kRecords; ++i) log.write(kGroup, Recovered{i, member});
  const LogCounters counters = log.counters();
  shared->written[process] = counters.written;
  shared->dropped[process] = counters.dropped;
  shared->rotations += counters.rotations;
  _exit(0);
}

struct Record {
  std::uint64_t sequence = 0;
  std::size_t process = 0;
};

// Nothing if the line is not exactly what the process with that id wrote.
bool parse(const std::string& text, const std::map<long, std::size_t>& processes, Record& record) {
  constexpr std::size_t kTime = 24;
  constexpr std::string_view kBefore = "succeeded for member: ";
  const std::size_t at = text.rfind(kBefore);
  const std::size_t bracket = text.find('[');
  if (at == std::string::npos || bracket == std::string::npos) return false;
  long pid = 0;
  std::from_chars(text.data() + bracket + 1, text.data() + text.size(), pid);
  const auto process = processes.find(pid);
  if (process == processes.end()) return false;
  record.process = process->second;
  const std::string start = " : [" + std::to_string(pid) + "] HA group: " + std::string(kGroup) + " recovery attempt ";
  if (text.compare(kTime, start.size(), start) != 0) return false;
  std::from_chars(text.data() + kTime + start.size(), text.data() + text.size(), record.sequence);
  return record.sequence < kRecords && text.substr(kTime) == start + std::to_string(record.sequence) + " " +
                                                                 std::string(kBefore) + std::to_string(record.process);
}

void runTogether(const base::Clock& clock) {
  const LogDirectory directory;
  const SharedMemory shared;
  std::map<long, std::size_t> processes;
  for (std::size_t i = 0; i < kProcesses; ++i) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) writeRecords(clock, directory.path(), i, shared);
    processes[pid] = i;
  }
  for (const auto& [pid, process] : processes) {
    int status = 0;
    ASSERT_EQ(waitpid(static_cast<pid_t>(pid), &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(shared->written.at(process), kRecords);
    EXPECT_EQ(shared->dropped.at(process), 0U);
  }

  std::vector<std::vector<bool>> seen(kProcesses, std::vector<bool>(kRecords));
  std::uint64_t records = 0;
  std::uint64_t setAside = 0;
  std::uint64_t suffixed = 0;
  std::uint64_t wrong = 0;
  std::uint64_t early = 0;
  for (const std::string& name : directory.names()) {
    const std::string path = directory.file(name);
    if (name != "haErrorLog.txt") {
      ++setAside;
      if (name.size() > std::string_view("haErrorLog_YYYYMMDD_HHMMSS.txt").size()) ++suffixed;
      if (std::filesystem::file_size(path) < kMaxLength) ++early;
    }
    std::array<std::int64_t, kProcesses> last{};
    last.fill(-1);
    for (const std::string& text : linesOf(path)) {
      Record record;
      if (!parse(text, processes, record)) {
        if (++wrong <= 3) ADD_FAILURE() << name << ": " << text;
        continue;
      }
      EXPECT_FALSE(seen[record.process][record.sequence]) << "doubled: " << text;
      EXPECT_GT(static_cast<std::int64_t>(record.sequence), last.at(record.process)) << "out of order: " << text;
      last.at(record.process) = static_cast<std::int64_t>(record.sequence);
      seen[record.process][record.sequence] = true;
      ++records;
    }
  }
  EXPECT_EQ(records, kProcesses * kRecords) << "lost";
  EXPECT_EQ(wrong, 0U) << "torn";
  EXPECT_EQ(early, 0U) << "set aside before they were full, of " << setAside;
  EXPECT_EQ(setAside, shared->rotations);
  EXPECT_GE(setAside, 100U);
  EXPECT_GE(suffixed, 1U);
}

TEST(SharedLog, EightProcessesLoseNothing) { runTogether(base::SystemClock()); }

TEST(SharedLog, EightProcessesThatLookAtEveryRecordLoseNothing) { runTogether(RestlessClock()); }

}  // namespace
}  // namespace p11ha::halog
