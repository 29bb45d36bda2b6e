#include "halog/log_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "halog/format.h"
#include "halog/limited_write.h"
#include "halog/log_settings.h"

namespace p11ha::halog {
namespace {

constexpr int kFlags = O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

// Without O_CREAT first: with it, Linux refuses another user's file in a sticky directory (fs.protected_regular).
int openOrCreate(const std::string& path, int access) {
  constexpr mode_t kMode = 0644;
  const int fd = open(path.c_str(), kFlags | access);
  return fd < 0 && errno == ENOENT ? open(path.c_str(), kFlags | access | O_CREAT, kMode) : fd;
}

// A symbolic link, a FIFO or a device in the file's place is refused, and none of them can make this wait.
int openLog(const std::string& path, struct stat& seen) {
  // Reading is for the last byte only; who may only write logs too.
  int fd = openOrCreate(path, O_RDWR);
  if (fd < 0 && errno == EACCES) fd = openOrCreate(path, O_WRONLY);
  if (fd >= 0 && fd <= STDERR_FILENO) {
    // The application closed a standard stream; what it prints there is not for the log.
    const int above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    ::close(fd);
    fd = above;
  }
  if (fd < 0) return -1;
  if (fstat(fd, &seen) == 0 && S_ISREG(seen.st_mode)) return fd;
  ::close(fd);
  return -1;
}

}  // namespace

void LogFile::moveTo(const std::string& directory) {
  close();
  directory_ = directory;
  path_ = logPath(directory);
}

void LogFile::close() noexcept {
  struct stat seen {};
  if (stillOpen(seen)) ::close(fd_);
  fd_ = -1;
  tail_ = Tail::Unknown;
  lastLook_.reset();
}

LogFile::Put LogFile::put(std::string_view record, base::Wall wall, std::uint64_t maxLength) {
  const auto interval = std::chrono::floor<LookInterval>(wall);
  if (interval != lastLook_) {
    lastLook_ = interval;
    mayRotate_ = true;
    look();
    seen_ = false;
  }
  if (fd_ < 0) return Put::Refused;

  std::string completed;
  if (tail_ != Tail::Whole && tailIsTorn()) {
    completed.reserve(record.size() + 1);
    completed += '\n';
    completed += record;
    record = completed;
  }
  const ssize_t n = writeQuietly(fd_, record, limited_);
  if (n != static_cast<ssize_t>(record.size())) {
    if (n > 0) tail_ = Tail::Torn;
    if (n < 0 && tail_ == Tail::Whole) tail_ = Tail::Unknown;  // others may have got further than this process
    return n > 0 ? Put::Torn : Put::Refused;
  }
  tail_ = Tail::Whole;

  unseen_ += record.size();
  if (mayRotate_ && full(maxLength)) rotate(wall);
  return Put::Written;
}

bool LogFile::full(std::uint64_t maxLength) {
  if (seen_ && unseen_ < maxLength / kUnseenShare && end_ + unseen_ < maxLength) return false;
  // After an appending write the offset is where the record ended: far cheaper than asking the file for its size.
  const off_t end = lseek(fd_, 0, SEEK_CUR);
  if (end < 0) return false;
  end_ = static_cast<std::uint64_t>(end);
  unseen_ = 0;
  seen_ = true;
  return end_ >= maxLength;
}

std::uint64_t LogFile::takeRotations() { return std::exchange(rotations_, 0); }

void LogFile::look() {
  limited_ = fileSizeLimited();
  struct stat seen {};
  // A daemon that closes every descriptor it inherits closes ours, and the number may be another file's by now.
  if (fd_ >= 0 && !stillOpen(seen)) fd_ = -1;
  if (fd_ < 0) {
    reopen(Tail::Unknown);
  } else if (!nameIsOurs() && !reopen(Tail::Whole) && seen.st_nlink == 0) {
    // Where no new file can be had, an old one that still has a name loses nothing. This one has none.
    ::close(fd_);
    fd_ = -1;
  }
}

bool LogFile::reopen(Tail tail) {
  struct stat seen {};
  const int fd = openLog(path_, seen);
  if (fd < 0) return false;
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  device_ = seen.st_dev;
  inode_ = seen.st_ino;
  tail_ = tail;
  seen_ = false;
  return true;
}

void LogFile::rotate(base::Wall wall) {
  if (nameIsOurs()) {
    // Who holds the lock is setting this file aside. Anybody who may read the file may hold it for ever, so it is not
    // waited for.
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0) return;
    const bool ours = nameIsOurs();
    const bool renamed = ours && setAside_.rename(directory_, localTime(wall));
    flock(fd_, LOCK_UN);
    if (renamed) ++rotations_;
    if (ours && !renamed) {
      mayRotate_ = false;
      return;
    }
  }
  if (!reopen(Tail::Whole)) mayRotate_ = false;
}

bool LogFile::nameIsOurs() const {
  struct stat seen {};
  return lstat(path_.c_str(), &seen) == 0 && seen.st_dev == device_ && seen.st_ino == inode_;
}

bool LogFile::stillOpen(struct stat& seen) const {
  return fd_ >= 0 && fstat(fd_, &seen) == 0 && seen.st_dev == device_ && seen.st_ino == inode_;
}

bool LogFile::tailIsTorn() const {
  // A file that keeps growing is one that others find whole.
  constexpr int kLooks = 4;
  for (int i = 0; i < kLooks; ++i) {
    struct stat seen {};
    char last = 0;
    if (fstat(fd_, &seen) != 0 || seen.st_size == 0) return false;
    if (pread(fd_, &last, 1, seen.st_size - 1) != 1) return tail_ == Tail::Torn;
    if (last == '\n') return false;
    // A record that crosses a page is half visible while another process writes it. Asking for a hole takes the lock
    // that write(2) holds, and so waits for that record's end.
    lseek(fd_, seen.st_size - 1, SEEK_HOLE);
    const off_t size = seen.st_size;
    if (fstat(fd_, &seen) != 0 || seen.st_size == size) return true;
  }
  return false;
}

}  // namespace p11ha::halog
