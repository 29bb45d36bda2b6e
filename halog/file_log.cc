#include "halog/file_log.h"

#include <chrono>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "halog/format.h"
#include "halog/log_file.h"
#include "halog/process_id.h"

namespace p11ha::halog {

struct FileLog::Settings {
  LogSettings value;
  const Settings* before;

  [[nodiscard]] bool on() const { return value.enabled && !value.directory.empty(); }
};

/// The open file of one process.
class FileLog::Writer {
 public:
  Writer(const base::Clock& clock, Counts& counts, pid_t pid, Writer* before)
      : clock_(clock), counts_(counts), pid_(pid), before_(before) {}

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Writer* before() const { return before_; }

  void apply(const Settings& settings) P11HA_EXCLUDES(mutex_) {
    const base::Lock lock(mutex_);
    applyLocked(settings);
  }

  void write(const Settings& settings, std::string_view groupSerial, const Event& event) P11HA_EXCLUDES(mutex_) {
    const base::Lock lock(mutex_);
    try {
      applyLocked(settings);
      if (unreported_ > 0 &&
          putLocked(settings, groupSerial, LogRecordsDropped{unreported_}) == LogFile::Put::Written) {
        unreported_ = 0;
      }
      count(unreported_ == 0 ? putLocked(settings, groupSerial, event) : LogFile::Put::Refused);
    } catch (const std::bad_alloc&) {
      count(LogFile::Put::Refused);
    }
  }

  // The threads of the parent, one of which may hold the mutex, do not exist in the child.
  void closeInherited() P11HA_NO_THREAD_SAFETY_ANALYSIS { file_.close(); }

 private:
  void applyLocked(const Settings& settings) P11HA_REQUIRES(mutex_) {
    if (applied_ == &settings) return;
    if (!settings.on() || applied_ == nullptr || applied_->value.directory != settings.value.directory) {
      file_.moveTo(settings.value.directory);
    }
    applied_ = &settings;
  }

  void count(LogFile::Put put) P11HA_REQUIRES(mutex_) {
    if (put == LogFile::Put::Written) {
      // Only this function counts it, under the mutex: the bus need not be locked too.
      counts_.written.store(counts_.written.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      ++unreported_;
      counts_.dropped.fetch_add(1, std::memory_order_relaxed);
    }
    if (put == LogFile::Put::Torn) counts_.torn.fetch_add(1, std::memory_order_relaxed);
  }

  LogFile::Put putLocked(const Settings& settings, std::string_view groupSerial, const Event& event)
      P11HA_REQUIRES(mutex_) {
    const base::Wall wall = clock_.wall();
    const auto second = std::chrono::floor<std::chrono::seconds>(wall);
    if (second != headSecond_ || groupSerial != headSerial_) {
      headSecond_.reset();  // in case of std::bad_alloc
      headSerial_ = groupSerial;
      head_ = lineHead(groupSerial, pid_, localTime(wall));
      headSecond_ = second;
    }
    record_.clear();
    appendLine(record_, event, head_);
    const LogFile::Put put = file_.put(record_, wall, settings.value.maxLength);
    if (const std::uint64_t rotations = file_.takeRotations()) counts_.rotations.fetch_add(rotations);
    return put;
  }

  const base::Clock& clock_;
  Counts& counts_;
  const pid_t pid_;
  Writer* const before_;
  base::Mutex mutex_;
  LogFile file_ P11HA_GUARDED_BY(mutex_);
  const Settings* applied_ P11HA_GUARDED_BY(mutex_) = nullptr;
  std::uint64_t unreported_ P11HA_GUARDED_BY(mutex_) = 0;
  // What the last line began with, and when and for which group it was so.
  std::optional<std::chrono::sys_seconds> headSecond_ P11HA_GUARDED_BY(mutex_);
  std::string headSerial_ P11HA_GUARDED_BY(mutex_);
  std::string head_ P11HA_GUARDED_BY(mutex_);
  std::string record_ P11HA_GUARDED_BY(mutex_);
};

FileLog::FileLog(const base::Clock& clock, LogSettings settings) : clock_(clock) { publish(std::move(settings)); }

FileLog::~FileLog() {
  for (Writer* writer = writer_.load(); writer != nullptr;) delete std::exchange(writer, writer->before());
  for (const Settings* s = settings_.load(); s != nullptr;) delete std::exchange(s, s->before);
}

void FileLog::publish(LogSettings settings) {
  auto* next = new Settings{std::move(settings), settings_.load()};
  while (!settings_.compare_exchange_weak(next->before, next)) {
  }
}

void FileLog::configure(LogSettings settings) {
  publish(std::move(settings));
  ownWriter().apply(*settings_.load());
}

FileLog::Writer& FileLog::ownWriter() {
  const pid_t pid = processId();
  Writer* current = writer_.load(std::memory_order_acquire);
  while (current == nullptr || current->pid() != pid) {
    auto fresh = std::make_unique<Writer>(clock_, counts_, pid, current);
    if (writer_.compare_exchange_strong(current, fresh.get())) {
      if (current != nullptr) current->closeInherited();
      return *fresh.release();
    }
  }
  return *current;
}

void FileLog::write(std::string_view groupSerial, const Event& event) noexcept {
  const Settings& settings = *settings_.load(std::memory_order_acquire);
  if (!settings.on()) return;
  try {
    ownWriter().write(settings, groupSerial, event);
  } catch (const std::bad_alloc&) {
    counts_.dropped.fetch_add(1, std::memory_order_relaxed);
  }
}

LogCounters FileLog::counters() const noexcept {
  return {.written = counts_.written.load(std::memory_order_relaxed),
          .dropped = counts_.dropped.load(std::memory_order_relaxed),
          .torn = counts_.torn.load(std::memory_order_relaxed),
          .rotations = counts_.rotations.load(std::memory_order_relaxed)};
}

}  // namespace p11ha::halog
