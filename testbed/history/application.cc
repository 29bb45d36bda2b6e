#include "testbed/history/application.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <thread>

#include <poll.h>
#include <unistd.h>

#include "cryptoki/ha_state.h"
#include "testbed/history/operations.h"

namespace p11ha::history {
namespace {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// As long as there are more objects of its own, more are destroyed than made: it shall be objects that a history is
// about, not how many there are.
constexpr std::size_t kManyObjects = 100;
constexpr std::chrono::minutes kSettling{3};

// Which members serve, in a file.
class StateFile {
 public:
  StateFile(const Token& token, std::string path)
      : ask_(reinterpret_cast<CK_CA_GetHAState>(token.symbol("CA_GetHAState"))),
        slot_(token.slot()),
        path_(std::move(path)) {}

  /// True: all of them. A token that is no group is all there is.
  bool update() {
    CK_HA_STATUS status{};
    if (ask_ == nullptr || ask_(slot_, &status) != CKR_OK) return true;
    std::string state;
    for (CK_ULONG i = 0; i < status.listSize; ++i) state += status.memberList[i].memberStatus == CKR_OK ? '1' : '0';
    if (state != written_ && !path_.empty()) {
      std::ofstream(path_ + ".new") << state << '\n';
      std::rename((path_ + ".new").c_str(), path_.c_str());
      written_ = state;
    }
    return state.find('0') == std::string::npos;
  }

 private:
  const CK_CA_GetHAState ask_;
  const CK_SLOT_ID slot_;
  const std::string path_;
  std::string written_;
};

class Application {
 public:
  Application(const Token& token, const ApplicationOptions& options)
      : options_(options), work_(token, options), state_(token, options.state) {
    for (const auto& all : {creations(), changes()}) {
      for (const Operation& operation : all) {
        const bool wanted = options.only.empty() ||
                            std::find(options.only.begin(), options.only.end(), operation.name) != options.only.end();
        if (wanted) operations_.push_back(&operation);
      }
    }
    if (operations_.empty()) throw std::runtime_error("there is no such operation");
  }

  void run() {
    for (std::size_t tries = 0; work_.asked() < options_.operations; ++tries) {
      work_.drawFor(work_.asked() + tries * options_.operations);
      if (draw().run(work_)) tries = 0;
      if (tries == kTries) throw std::runtime_error("there is nothing left to do");
      state_.update();
    }
  }

  /// Until the other end of standard input is closed and all members serve; false: they do not.
  bool settle() {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, kPollMilliseconds) == 0 || (input.revents & POLLHUP) == 0) {
      char ignored[64];
      if (input.revents != 0 && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) break;
      state_.update();
    }
    const auto until = std::chrono::steady_clock::now() + kSettling;
    while (!state_.update()) {
      if (std::chrono::steady_clock::now() > until) return false;
      poll(nullptr, 0, kPollMilliseconds);
    }
    return true;
  }

 private:
  static constexpr std::size_t kTries = 1000;
  static constexpr int kPollMilliseconds = 20;

  const Operation& draw() {
    const bool many = work_.own() > kManyObjects;
    const auto weight = [&](const Operation& operation) {
      return operation.name == "destroy" && many ? operation.weight * 5 : operation.weight;
    };
    std::size_t sum = 0;
    for (const Operation* operation : operations_) sum += weight(*operation);
    std::size_t drawn = work_.below(sum);
    for (const Operation* operation : operations_) {
      if (drawn < weight(*operation)) return *operation;
      drawn -= weight(*operation);
    }
    return *operations_.back();
  }

  const ApplicationOptions& options_;
  Workspace work_;
  StateFile state_;
  std::vector<const Operation*> operations_;
};

}  // namespace

int runApplication(const ApplicationOptions& options) {
  const Token token(environment("P11HA_MODULE"), environment("P11HA_LABEL"), environment("P11HA_PIN"));
  Application application(token, options);
  application.run();
  std::puts("done");
  std::fflush(stdout);
  const bool settled = application.settle();
  if (!settled) std::fprintf(stderr, "p11ha-history: not all members serve\n");
  return token.end() == CKR_OK && settled ? 0 : 1;
}

}  // namespace p11ha::history
