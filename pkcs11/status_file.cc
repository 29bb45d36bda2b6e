#include "pkcs11/status_file.h"

#include <errno.h>  // program_invocation_short_name
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <new>
#include <utility>

#include "base/descriptor.h"
#include "compose/processes.h"
#include "compose/status_metrics.h"
#include "compose/status_reader.h"

namespace p11ha::pkcs11 {
namespace {

constexpr std::chrono::seconds kPause{1};   // between two writes
constexpr std::chrono::seconds kPeriod{5};  // of looking at counts

compose::Moment toMoment(base::Wall wall) { return std::chrono::floor<std::chrono::milliseconds>(wall); }

std::vector<compose::GroupReport> reports(const std::vector<ha::GroupStatus>& groups, base::Monotonic now,
                                          compose::Moment wall) {
  std::vector<compose::GroupReport> all;
  all.reserve(groups.size());
  for (const ha::GroupStatus& group : groups) all.push_back(compose::report(group, now, wall));
  return all;
}

}  // namespace

StatusFile::StatusFile(std::string directory, const base::Clock& clock, base::Scheduler& scheduler,
                       base::Workers& workers, Collect collect)
    : directory_(std::move(directory)),
      clock_(clock),
      scheduler_(scheduler),
      workers_(workers),
      collect_(std::move(collect)) {
  process_.pid = getpid();
  process_.started = compose::startOf(process_.pid).value_or(0);
  process_.program = program_invocation_short_name;
}

void StatusFile::start() {
  scheduler_.post([this] {
    started_ = true;
    tick();
  });
}

void StatusFile::changed() {
  if (told_.exchange(true, std::memory_order_acq_rel)) return;
  scheduler_.post([this] {
    told_.store(false, std::memory_order_release);
    wanted_ = true;
    proceed();
  });
}

void StatusFile::tick() {
  wanted_ = true;
  proceed();
  scheduler_.at(clock_.now() + kPeriod, [this] { tick(); });
}

void StatusFile::proceed() {
  if (!started_ || !wanted_ || writing_ || waiting_) return;
  const base::Monotonic now = clock_.now();
  if (now < earliest_) {
    waiting_ = true;
    scheduler_.at(earliest_, [this] {
      waiting_ = false;
      proceed();
    });
    return;
  }
  wanted_ = false;
  try {
    look();
  } catch (const std::bad_alloc&) {
    last_.reset();
  }
}

void StatusFile::look() {
  const base::Monotonic now = clock_.now();
  const std::vector<ha::GroupStatus> groups = collect_();
  // Seen from a fixed moment, nothing is new because it is older.
  std::vector<compose::GroupReport> fixed = reports(groups, {}, {});
  if (last_ == fixed) return;
  last_ = std::move(fixed);
  earliest_ = now + kPause;
  begin(groups);
}

void StatusFile::begin(const std::vector<ha::GroupStatus>& groups) {
  compose::ProcessReport report = process_;
  report.written = toMoment(clock_.wall());
  report.groups = reports(groups, clock_.now(), report.written);
  writing_ = workers_.run([this, report] {
    bool done = false;
    try {
      done = write(report);
    } catch (const std::bad_alloc&) {  // as good as a full disk
    }
    scheduler_.post([this, done] {
      writing_ = false;
      if (!done) last_.reset();
      proceed();
    });
  });
  if (!writing_) last_.reset();
}

bool StatusFile::write(const compose::ProcessReport& report) {
  if (!swept_.exchange(true)) {
    for (const std::string& left : compose::StatusReader(directory_).leftovers()) unlink(left.c_str());
  }
  return put(compose::statusFileName(process_.pid), compose::format(report)) &&
         put(compose::metricsFileName(process_.pid), compose::metrics(report));
}

bool StatusFile::put(const std::string& name, std::string_view text) const {
  const std::string unfinished = directory_ + "/" + compose::unfinishedFileName(process_.pid);
  // In a directory that all may write to, the name may be somebody else's link.
  unlink(unfinished.c_str());
  base::Descriptor file(open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return false;
  // Whatever the application's umask is.
  bool done = fchmod(file.get(), 0644) == 0 && base::writeAll(file.get(), text);
  done = close(file.release()) == 0 && done && !removed_.load();
  done = done && rename(unfinished.c_str(), (directory_ + "/" + name).c_str()) == 0;
  if (!done) unlink(unfinished.c_str());
  return done;
}

std::string StatusFile::directoryFor(const std::string& configured) {
  if (!configured.empty()) return configured;
  return access(compose::kStatusDirectory, W_OK | X_OK) == 0 ? compose::kStatusDirectory : "";
}

void StatusFile::remove() {
  removed_.store(true);
  for (const std::string& name : {compose::statusFileName(process_.pid), compose::metricsFileName(process_.pid)}) {
    unlink((directory_ + "/" + name).c_str());
  }
}

}  // namespace p11ha::pkcs11
