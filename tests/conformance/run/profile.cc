#include "tests/conformance/run/profile.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>

namespace p11ha::conformance {

namespace fs = std::filesystem;

namespace {

constexpr int kUnavailable = 77;  // of a script

std::vector<std::string> linesOf(const std::string& command) {
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  std::vector<std::string> lines(1);
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += static_cast<char>(c);
    }
  }
  const int status = pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kUnavailable) throw Unavailable("cannot be had here: " + command);
  if (status != 0) throw std::runtime_error("failed: " + command);
  lines.pop_back();
  return lines;
}

std::string inQuotes(const std::string& text) {
  std::string all = "'";
  for (const char c : text) all += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return all + "'";
}

// In memory where there is such a place: softokn waits for its disk at each change.
fs::path placeForTokens() {
  const fs::path memory = "/dev/shm";
  return std::getenv("TMPDIR") == nullptr && access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
}

}  // namespace

Tokens::Tokens(const std::string& script, std::size_t count) {
  std::string name = (placeForTokens() / "p11ha-conformance-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error(name + " cannot be made");
  folder_ = name;
  const std::string command =
      inQuotes(script) + ' ' + inQuotes(name) + ' ' + std::to_string(count) + " 2>" + inQuotes(name + "/made.log");
  for (const std::string& line : linesOf(command)) {
    const auto equals = line.find('=');
    if (equals == std::string::npos)
      throw std::runtime_error(std::string(script).append(" printed \"").append(line).append("\""));
    take(line.substr(0, equals), line.substr(equals + 1));
  }
  if (module.empty() || labels.size() != count || serials.size() != count) {
    throw std::runtime_error(script + " made no " + std::to_string(count) + " tokens");
  }
  for (std::size_t i = 0; i < states_.size(); ++i) fs::copy(states_[i], copyOf(i), fs::copy_options::recursive);
}

Tokens::~Tokens() {
  for (const std::string& command : ends_) {
    if (std::system(command.c_str()) != 0) std::fprintf(stderr, "failed: %s\n", command.c_str());
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void Tokens::take(const std::string& key, const std::string& value) {
  if (key == "module") {
    module = value;
  } else if (key == "reserved") {
    reserved = value;
  } else if (key == "pin") {
    pin = value;
  } else if (key == "so-pin") {
    soPin = value;
  } else if (key == "environment") {
    environment.push_back(value);
  } else if (key == "runner") {
    runner.push_back(value);
  } else if (key == "label") {
    labels.push_back(value);
  } else if (key == "serial") {
    serials.push_back(value);
  } else if (key == "slot") {
    slots.push_back(value);
  } else if (key == "client") {
    client.push_back(value);
  } else if (key == "elsewhere") {
    elsewhere = value == "all";
  } else if (key == "end") {
    ends_.push_back(value);
  } else if (key == "state") {
    states_.emplace_back(value);
  } else {
    throw std::runtime_error("a profile has no \"" + key + "\"");
  }
}

fs::path Tokens::copyOf(std::size_t state) const { return folder_ / ("pristine-" + std::to_string(state)); }

void Tokens::restore() const {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    // The folder itself stays: it may not be ours to make.
    for (const auto& entry : fs::directory_iterator(states_[i])) fs::remove_all(entry.path());
    fs::copy(copyOf(i), states_[i], fs::copy_options::recursive);
  }
}

}  // namespace p11ha::conformance
