// One process's hold on haErrorLog.txt, which other processes write and rotate too.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "halog/set_aside.h"

namespace p11ha::halog {

/// The name is compared with the open file, and a file that could not be opened or renamed is tried again, at a record
/// whose wall clock shows another interval than the one before it: a pace and not a timer, and a clock that is set back
/// only makes one look more.
using LookInterval = std::chrono::duration<std::int64_t, std::deci>;

/// After so much of maxLength in records of its own at the latest, a process looks how much others have added.
inline constexpr std::uint64_t kUnseenShare = 64;

/// Appends records to `<directory>/haErrorLog.txt` and rotates it; safe against other processes that do the same, and
/// follows the name when the file is rotated, removed or replaced by anybody. Owned by one FileLog, which synchronises;
/// never shared with a forked child (the flock would be shared). Does not block but for the write itself.
class LogFile {
 public:
  enum class Put {
    Written,  ///< the record is in the file, whole
    Torn,     ///< only its beginning is: the disk is full, or the file size limit reached
    Refused,  ///< nothing of it is
  };

  LogFile() = default;
  ~LogFile() { close(); }
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// From now on the file in `directory`.
  void moveTo(const std::string& directory);

  /// Lets go of the file until the next put().
  void close() noexcept;

  /// Appends `record`, which ends in a newline, with one write(2), and sets the file aside once it holds `maxLength`
  /// bytes: at once if this process reaches that alone, else a few records later. May throw std::bad_alloc.
  Put put(std::string_view record, base::Wall wall, std::uint64_t maxLength);

  /// How many files this one has set aside since the last call.
  std::uint64_t takeRotations();

 private:
  // Whether the file may end in the middle of a record.
  enum class Tail { Whole, Unknown, Torn };

  void look();
  bool reopen(Tail tail);
  [[nodiscard]] bool full(std::uint64_t maxLength);
  void rotate(base::Wall wall);
  [[nodiscard]] bool nameIsOurs() const;
  [[nodiscard]] bool stillOpen(struct stat& seen) const;
  [[nodiscard]] bool tailIsTorn() const;

  std::string directory_;
  std::string path_;
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  Tail tail_ = Tail::Unknown;
  std::uint64_t end_ = 0;     // where the file ended when last seen
  std::uint64_t unseen_ = 0;  // bytes of our own since
  bool seen_ = false;         // false: look at the next record
  bool limited_ = false;
  bool mayRotate_ = true;  // until the next look
  std::optional<std::chrono::sys_time<LookInterval>> lastLook_;
  SetAside setAside_;
  std::uint64_t rotations_ = 0;
};

}  // namespace p11ha::halog
