#include "transport/server/survey.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

namespace p11ha::transport {
namespace {

constexpr std::chrono::seconds kTime{20};

}  // namespace

Survey::Survey(std::vector<ServedModule> modules) : modules_(std::move(modules)), until_(base::now() + kTime) {
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    Asked& asked = asked_.emplace_back();
    auto process = WorkerProcess::start();
    if (!process) {
      asked.result.error = process.error();
      continue;
    }
    asked.process = std::move(*process);
    WorkerSetup setup;
    setup.survey = true;
    setup.module = i;
    setup.modules = modules_;
    sendMessage(asked.process.socket.get(), MessageKind::Setup, setup);
  }
}

std::vector<int> Survey::sockets() const {
  std::vector<int> all;
  for (const Asked& asked : asked_) {
    if (asked.process.socket) all.push_back(asked.process.socket.get());
  }
  return all;
}

void Survey::hear(Asked& asked) const {
  const std::string module = "module " + modules_[static_cast<std::size_t>(&asked - asked_.data())].path + ": ";
  Message message;
  switch (receiveMessage(asked.process.socket.get(), message, false)) {
    case Received::Message:
      if (message.kind != MessageKind::Surveyed) return;
      asked.result = message.as<SurveyResult>();
      break;
    case Received::Nothing:
      if (base::now() < until_) return;
      kill(asked.process.pid, SIGKILL);
      asked.result.error = module + "it has not told its tokens in " + std::to_string(kTime.count()) + " s";
      break;
    case Received::Ended: {
      int status = 0;
      const pid_t ended = waitpid(asked.process.pid, &status, WNOHANG);
      // It is about to end: its socket is closed already.
      if (ended == 0 && base::now() < until_) return;
      if (ended == 0) kill(asked.process.pid, SIGKILL);
      asked.result.error = module + "its process " + (ended == 0 ? "gave no answer" : "was " + describeEnd(status));
      break;
    }
  }
  asked.process.socket.reset();
}

bool Survey::look() {
  bool all = true;
  for (Asked& asked : asked_) {
    if (asked.process.socket) hear(asked);
    all = all && !asked.process.socket;
  }
  return all;
}

void Survey::wait() {
  while (!look()) {
    std::vector<pollfd> waiting;
    for (const int socket : sockets()) waiting.push_back({socket, POLLIN, 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until_ - base::now()).count();
    poll(waiting.data(), waiting.size(), static_cast<int>(std::max<long>(left, 0)));
  }
}

bool Survey::find(const std::vector<ServedPartition>& wanted, std::vector<Partition>& found, Log& log) const {
  bool all = true;
  for (const Asked& asked : asked_) {
    if (asked.result.error.empty()) continue;
    log.error(asked.result.error);
    all = false;
  }
  for (const ServedPartition& each : wanted) {
    const std::string called = each.serial.empty() ? each.label : each.serial;
    const auto& there = asked_.at(each.module).result.tokens;
    const auto token = std::find_if(there.begin(), there.end(), [&](const SurveyedToken& shown) {
      return each.serial.empty() ? shown.label == each.label : shown.serial == each.serial;
    });
    if (token == there.end()) {
      log.error("partition " + called + ": module " + modules_[each.module].path + " shows no such token");
      all = false;
    } else if (std::any_of(found.begin(), found.end(), [&](const Partition& p) { return p.serial == token->serial; })) {
      log.error("partition " + called + ": another partition has the serial number " + token->serial);
    } else {
      found.push_back({token->serial, token->label, each.module, each.authentication, each.pedPin});
    }
  }
  return all;
}

}  // namespace p11ha::transport
