#include "testbed/history/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

namespace p11ha::history {

Journal::Journal(const std::string& path) : file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (file_ < 0) throw std::runtime_error(path + " cannot be written");
}
Journal::~Journal() { close(file_); }

void Journal::write(const std::vector<Line>& lines) {
  std::string text;
  for (const Line& line : lines) text += line.text();
  if (::write(file_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("the journal cannot be written");
  }
}

std::vector<Line> JournalReader::more() {
  std::vector<Line> lines;
  std::ifstream in(path_, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(read_));
  for (std::string text; std::getline(in, text) && !in.eof();) {
    read_ += text.size() + 1;
    if (const auto line = Line::parse(text)) lines.push_back(*line);
  }
  return lines;
}

}  // namespace p11ha::history
