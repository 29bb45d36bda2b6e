// The end of the HA log, and what is added to it, whichever file it is in.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/descriptor.h"

namespace p11ha::cli {

/// Reads the log of one directory: haErrorLog.txt, and before it the files that were set aside (halog/set_aside.h).
/// Owned by a command. One thread. What cannot be read is not there.
class LogTail {
 public:
  explicit LogTail(std::string directory) : directory_(std::move(directory)) {}

  /// The last lines, at most so many; from then on more() goes on after them.
  std::vector<std::string> last(std::size_t lines);

  /// The lines that were added since, in files set aside meanwhile, too. One whose end is not written waits for it.
  std::vector<std::string> more();

 private:
  struct File {
    std::string name;
    dev_t device;
    ino_t inode;
  };
  std::vector<File> files() const;
  bool isOpen(const File& file) const { return file_ && file.device == device_ && file.inode == inode_; }
  void open(const File& file);
  void remember(const std::vector<File>& found);
  std::string rest();

  const std::string directory_;
  base::Descriptor file_;  // the one that was read last
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::string aside_;  // the last file known that was set aside
  std::string begun_;  // of a line whose end has not been written
};

}  // namespace p11ha::cli
