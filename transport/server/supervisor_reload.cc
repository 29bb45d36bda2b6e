// What the settings name is looked at before it is taken over, at the start and at each reload.
#include <sys/epoll.h>

#include <sstream>

#include "transport/server/supervisor.h"
#include "transport/server/supervisor_events.h"

namespace p11ha::transport {

// Asks what the settings name. What comes of it, take() sees.
std::optional<std::string> Supervisor::begin(ServerSettings settings) {
  if (auto problem = problemOfKeyFile(settings.tls.privateKey)) return problem;
  auto files = WorkerFiles::copyOf(settings.tls);
  if (!files) return files.error();
  if (auto context = makeTlsContext(TlsSide::Server, files->paths()); !context) {
    // The copies have no names that would mean anything to whoever reads this.
    std::string text = context.error();
    const TlsFiles copies = files->paths();
    const std::pair<const std::string&, const std::string&> names[] = {{copies.authorities, settings.tls.authorities},
                                                                       {copies.certificate, settings.tls.certificate},
                                                                       {copies.privateKey, settings.tls.privateKey}};
    for (const auto& [copy, original] : names) {
      if (text.starts_with(copy + ":")) return original + text.substr(copy.size());
    }
    return text;
  }
  const std::vector<ServedModule> modules = settings.modules;
  loading_ = std::make_unique<Loading>(std::move(settings), std::move(*files), modules);
  return std::nullopt;
}

// Takes over what begin() has asked. With `whole`, only if all of it is there: nothing goes because a module has not
// answered well for once.
bool Supervisor::take(bool whole) {
  const std::unique_ptr<Loading> loading = std::move(loading_);
  std::vector<Partition> found;
  if (!loading->survey.find(loading->settings.partitions, found, log_) && whole) return false;
  files_ = std::move(loading->files);
  partitions_ = std::move(found);
  settings_ = std::move(loading->settings);
  return true;
}

// Goes on meanwhile with everything else: endReload() sees what comes of it. Those who ask while one is at it get
// another after it, as they may mean what it has read already.
void Supervisor::reload() {
  if (reloading_) {
    reloadAgain_ = true;
    return;
  }
  if (const auto wrong = beginReload()) reloaded(wrong);
}

// What is wrong, a line each.
std::optional<std::string> Supervisor::beginReload() {
  auto fresh = reread_();
  if (!fresh) {
    std::string lines;
    for (const std::string& line : fresh.error()) lines.append(lines.empty() ? "" : "\n").append(line);
    return lines;
  }
  if (fresh->modules != settings_.modules) return "modules cannot be changed without a restart";
  if (fresh->address != settings_.address || fresh->port != settings_.port ||
      fresh->controlSocket != settings_.controlSocket) {
    log_.warning("where it listens cannot be changed without a restart");
    fresh->address = settings_.address;
    fresh->port = settings_.port;
    fresh->controlSocket = settings_.controlSocket;
  }
  // Before anything is taken over: without it, nobody would learn what follows.
  auto log = Log::openFile(fresh->logFile);
  if (!log) return log.error();
  if (auto wrong = begin(std::move(*fresh))) return wrong;
  loading_->log = std::move(*log);
  reloading_ = true;
  for (const int socket : loading_->survey.sockets()) watch(socket, EPOLLIN, keyOf(Source::Survey));
  return std::nullopt;
}

void Supervisor::endReload() {
  if (!reloading_ || !loading_->survey.look()) return;
  reloading_ = false;
  base::Descriptor log = std::move(loading_->log);
  if (!take(true)) return reloaded("not all partitions are there (the log says which)");
  log_.use(std::move(log));
  log_.setLevel(settings_.logLevel);
  for (auto& [id, worker] : workers_) worker.owedSetup = true;
  publish();
  log_.info("configuration read again");
  reloaded(std::nullopt);
}

void Supervisor::reloaded(const std::optional<std::string>& wrong) {
  if (wrong) {
    std::istringstream lines(*wrong);
    for (std::string line; std::getline(lines, line);) log_.error(line);
    log_.error("the configuration is not taken over: the one before stays");
  }
  ++reloads_;
  for (auto& [id, controller] : controllers_) {
    if (controller.reload != reloads_) continue;
    controller.reload = 0;
    controller.awaited = sequence_;
    controller.answer =
        wrong ? "1\n" + *wrong + "\nthe configuration is not taken over: the one before stays\n" : "0\n";
  }
  if (std::exchange(reloadAgain_, false)) reload();
}

}  // namespace p11ha::transport
