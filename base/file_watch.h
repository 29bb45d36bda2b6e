// Notices that a file has changed.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/descriptor.h"
#include "base/file_stamp.h"

namespace p11ha::base {

/// Watches one file by a thread of its own, from construction to stop(): sleeps until the kernel tells of something in
/// the directory of the file, or of a link on the way to it (inotify), and looks by itself once every `fallback`, for
/// what it is not told of: directories that are not there yet, network file systems, a system that has no more watches
/// to give. Takes none of the application's signals. A child of fork has no use of it.
class FileWatch {
 public:
  /// `known`: the file as it was when it was read. `changed` is run on the watch's thread whenever the file is another,
  /// there or not; false: ask again. It must neither block nor throw. Throws std::system_error where the thread or what
  /// wakes it is not to be had.
  FileWatch(std::string path, const std::optional<FileStamp>& known, std::chrono::milliseconds fallback,
            std::function<bool()> changed);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  /// Ends the thread. Any thread but its own.
  void stop();

 private:
  void loop();
  void place();
  void look();

  const std::string path_;
  const std::chrono::milliseconds fallback_;
  const std::function<bool()> changed_;
  const Descriptor stopping_;
  const Descriptor notify_;         // none: no inotify to be had
  std::optional<FileStamp> known_;  // the thread's
  std::set<int> watches_;           // the thread's
  std::thread thread_;
};

}  // namespace p11ha::base
