// The names of full log files.
#pragma once

#include <ctime>
#include <string>

namespace p11ha::halog {

/// Gives full log files their names. Owned by one LogFile, which synchronises.
class SetAside {
 public:
  /// Renames `directory`/haErrorLog.txt to haErrorLog_YYYYMMDD_HHMMSS.txt, or to ..._1.txt, ..._2.txt where that is
  /// taken; no file is ever replaced. False, and nothing is changed, if this process may not.
  bool rename(const std::string& directory, const std::tm& local);

 private:
  std::string stamp_;
  unsigned long suffix_ = 0;
};

}  // namespace p11ha::halog
