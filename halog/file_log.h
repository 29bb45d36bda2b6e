// The HA log as a file: "HA Logging" of the reference.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "halog/log_settings.h"
#include "halog/sink.h"

namespace p11ha::halog {

/// What became of the records that were to be written in this process (a forked child goes on from its parent's
/// numbers). Records given while logging is off are in none of them.
struct LogCounters {
  std::uint64_t written = 0;    ///< whole in the file
  std::uint64_t dropped = 0;    ///< lost: no directory, no permission, disk full, no memory
  std::uint64_t torn = 0;       ///< those of the dropped whose beginning is in the file, on a line of its own
  std::uint64_t rotations = 0;  ///< files set aside by this process
};

/// Writes `<directory>/haErrorLog.txt`, which any number of processes share: one write(2) a record, in a file opened
/// for appending. The record that brings the file to maxLength is finished, then the file becomes
/// haErrorLog_YYYYMMDD_HHMMSS.txt (_1, _2 ... where taken) and the next record begins a new one; a process that may not
/// rename keeps appending. No record is lost, torn or doubled by that. Not promised on NFS.
///
/// Missing directories are not created. What cannot be written is dropped and counted, and once writing works again a
/// LogRecordsDropped says how many there were. A file that is removed or replaced is noticed within 100 ms.
///
/// Owned by whoever composes the process; the clock outlives it. All functions may be called by any thread, none waits
/// for another process. In a forked child it opens the file anew and works even if another thread was writing during
/// the fork. Nothing is thrown but by construction and configure() (std::bad_alloc).
class FileLog final : public Sink {
 public:
  explicit FileLog(const base::Clock& clock, LogSettings settings = {});
  ~FileLog() override;
  FileLog(const FileLog&) = delete;
  FileLog& operator=(const FileLog&) = delete;

  /// Takes effect with the next record; a record being written meanwhile goes by the old settings.
  void configure(LogSettings settings);

  void write(std::string_view groupSerial, const Event& event) noexcept override;

  [[nodiscard]] LogCounters counters() const noexcept;

 private:
  struct Settings;
  class Writer;

  struct Counts {
    std::atomic<std::uint64_t> written{0};
    std::atomic<std::uint64_t> dropped{0};
    std::atomic<std::uint64_t> torn{0};
    std::atomic<std::uint64_t> rotations{0};
  };

  Writer& ownWriter();
  void publish(LogSettings settings);

  const base::Clock& clock_;
  Counts counts_;
  // Both are chains whose older links live until the end: a writing thread may be reading one, and a forked child
  // inherits the mutex of the writer before it in whatever state it was.
  std::atomic<const Settings*> settings_{nullptr};
  std::atomic<Writer*> writer_{nullptr};
};

}  // namespace p11ha::halog
