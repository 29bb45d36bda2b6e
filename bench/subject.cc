#include "bench/subject.h"

#include <charconv>
#include <cstdlib>
#include <sstream>

namespace p11ha::bench {

base::Result<Subject, std::string> parseSubject(const std::string& text) {
  const auto wrong = [&text](const std::string& why) { return base::Failure{"subject \"" + text + "\": " + why}; };
  Subject subject;
  if (const char* pin = std::getenv("P11HA_PIN"); pin != nullptr) subject.token.pin = pin;
  std::istringstream words(text);
  words >> subject.name;
  std::string word;
  while (words >> word) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) return wrong("\"" + word + "\" is no KEY=VALUE");
    const std::string key = word.substr(0, equals);
    std::string value = word.substr(equals + 1);
    if (key == "module") {
      subject.token.module = std::move(value);
    } else if (key == "token") {
      subject.token.label = std::move(value);
    } else if (key == "pin") {
      subject.token.pin = std::move(value);
    } else if (key == "server") {
      pid_t process = 0;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), process);
      if (error != std::errc() || end != value.data() + value.size()) return wrong("\"" + value + "\" is no process");
      subject.servers.push_back(process);
    } else if (key[0] >= 'A' && key[0] <= 'Z') {
      subject.environment[key] = std::move(value);
    } else {
      return wrong("no key \"" + key + "\"");
    }
  }
  if (subject.token.module.empty()) return wrong("which module?");
  if (subject.token.label.empty()) return wrong("which token?");
  return subject;
}

}  // namespace p11ha::bench
