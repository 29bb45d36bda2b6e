#include "bench/rejoin.h"

#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <system_error>
#include <thread>

namespace p11ha::bench {

namespace fs = std::filesystem;

namespace {

// How often the log is looked at, which nobody tells of: what is timed by its lines is off by this much at most.
constexpr std::chrono::microseconds kLook{500};
constexpr std::chrono::minutes kMost{60};

// What is written to the log from now on.
class LogReader {
 public:
  explicit LogReader(const fs::path& log) : stream_(log) { stream_.seekg(0, std::ios::end); }

  // Waits for a line that matches; what was before it is over. Nothing once it has taken too long.
  std::optional<std::smatch> await(const std::regex& wanted) {
    for (const auto until = std::chrono::steady_clock::now() + kMost; std::chrono::steady_clock::now() < until;) {
      if (!nextLine()) {
        std::this_thread::sleep_for(kLook);
        continue;
      }
      line_ = std::exchange(pending_, "");
      std::smatch found;
      if (std::regex_search(line_, found, wanted)) return found;
      if (line_.find("failed for member") != std::string::npos) return std::nullopt;
    }
    return std::nullopt;
  }
  const std::string& line() const { return line_; }

 private:
  bool nextLine() {
    stream_.clear();
    for (char c = 0; stream_.get(c);) {
      if (c == '\n') return true;
      pending_ += c;
    }
    return false;
  }

  std::ifstream stream_;
  std::string pending_;
  std::string line_;
};

}  // namespace

base::Result<Rejoin, std::string> measureRejoin(const Token::Spec& spec, const fs::path& configuration,
                                                const fs::path& with, const fs::path& log) {
  const auto token = Token::open(spec);
  if (!token) return base::Failure{token.error()};
  LogReader reader(log);
  fs::path fresh = configuration;
  fresh += ".new";
  std::error_code error;
  fs::copy_file(with, fresh, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(fresh, configuration, error);
  if (error) return base::Failure{configuration.string() + ": " + error.message()};
  if (!reader.await(std::regex("detected new member"))) return base::Failure{"no member is detected: " + reader.line()};
  const auto begun = std::chrono::steady_clock::now();
  Rejoin rejoin;
  const auto found = reader.await(std::regex("reintroducing ([0-9]+) token objects|recovery attempt [0-9]+ succeeded"));
  if (!found) return base::Failure{"it does not join: " + reader.line()};
  rejoin.time = std::chrono::steady_clock::now() - begun;
  if ((*found)[1].matched) rejoin.objects = std::stoull((*found)[1]);
  return rejoin;
}

}  // namespace p11ha::bench
