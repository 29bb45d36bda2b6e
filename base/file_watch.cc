#include "base/file_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/quiet_thread.h"

namespace p11ha::base {
namespace {

constexpr int kMostLinks = 16;
constexpr std::uint32_t kAnyChange =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

int stopFd() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

// Where a change of what the path names would be seen: the file's directory and those of the links that lead to it.
std::set<std::string> directoriesOf(const std::string& path) {
  std::set<std::string> directories;
  std::error_code none;
  std::filesystem::path at = std::filesystem::absolute(path, none);
  for (int links = 0; links < kMostLinks && !at.empty(); ++links) {
    directories.insert(at.parent_path());
    const std::filesystem::path target = std::filesystem::read_symlink(at, none);
    if (none) break;
    at = at.parent_path() / target;
  }
  return directories;
}

}  // namespace

FileWatch::FileWatch(std::string path, const std::optional<FileStamp>& known, std::chrono::milliseconds fallback,
                     std::function<bool()> changed)
    : path_(std::move(path)),
      fallback_(fallback),
      changed_(std::move(changed)),
      stopping_(stopFd()),
      notify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      known_(known),
      thread_(quietThread([this] { loop(); })) {}

FileWatch::~FileWatch() { stop(); }

void FileWatch::stop() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  while (write(stopping_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  thread_.join();
}

void FileWatch::loop() {
  for (;;) {
    // In this order: what changes while the watches are placed is seen by one or the other.
    place();
    look();
    std::array<pollfd, 2> polled{{{stopping_.get(), POLLIN, 0}, {notify_.get(), POLLIN, 0}}};
    poll(polled.data(), polled.size(), static_cast<int>(fallback_.count()));
    if (polled[0].revents != 0) return;
    // Which file it was is of no interest: a link on the way to ours may be a directory.
    alignas(inotify_event) std::array<char, 4096> told;
    while (polled[1].revents != 0 && read(notify_.get(), told.data(), told.size()) > 0) {
    }
  }
}

// Anew every time: links may lead elsewhere, and directories may be others of the same name.
void FileWatch::place() {
  if (!notify_) return;
  try {
    std::set<int> placed;
    for (const std::string& directory : directoriesOf(path_)) {
      const int watch = inotify_add_watch(notify_.get(), directory.c_str(), kAnyChange);
      if (watch >= 0) placed.insert(watch);
    }
    for (const int watch : std::exchange(watches_, placed)) {
      if (!placed.contains(watch)) inotify_rm_watch(notify_.get(), watch);
    }
  } catch (const std::exception&) {  // std::bad_alloc: the next time
  }
}

void FileWatch::look() {
  const std::optional<FileStamp> present = stampOf(path_);
  if (present != known_ && changed_()) known_ = present;
}

}  // namespace p11ha::base
