#include "pkcs11/configuration.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "compose/pending.h"
#include "config/text.h"
#include "pkcs11/complain.h"

namespace p11ha::pkcs11 {
namespace {

// How long a file has to stay as it is, twice, before it is believed to be whole: its writer may be at it.
constexpr std::chrono::milliseconds kSteady{100};
constexpr int kMostLoads = 50;
// Where nothing tells of changes.
constexpr std::chrono::seconds kFallback{5};

// The finding without the file, which is named beside it: what is refused is not made up for.
std::string reasonOf(const config::Diagnostic& finding) {
  config::Diagnostic bare = finding;
  bare.file.clear();
  bare.instead.clear();
  const std::string text = bare.format();
  const std::size_t start = text.find_first_not_of(": ");
  const std::string rest = start == std::string::npos ? text : text.substr(start);
  return finding.line == 0 ? rest : "line " + rest;
}

// Only what has a number of its own: an entry that was changed waits.
template <class Entry>
std::vector<Entry> addedTo(const std::vector<Entry>& known, std::vector<Entry> entries) {
  std::erase_if(entries, [&](const Entry& entry) {
    return std::any_of(known.begin(), known.end(), [&](const Entry& each) { return each.number == entry.number; });
  });
  return entries;
}

template <class Entry>
void append(std::vector<Entry>& entries, const std::vector<Entry>& further) {
  entries.insert(entries.end(), further.begin(), further.end());
}

bool has(const config::Settings& settings, const std::string& section) {
  return std::any_of(settings.sections.begin(), settings.sections.end(),
                     [&](const std::string& each) { return config::sameSection(each, section); });
}

}  // namespace

halog::LogSettings logSettings(const config::HaConfiguration& ha) {
  return {ha.logPath, ha.logStatus == config::LogStatus::Enabled, ha.logLength};
}

Configuration::Configuration(const std::string& path, const base::FileStamp& stamp, config::Settings settings,
                             halog::FileLog& log, compose::Composition& composition, base::Workers& workers,
                             std::function<void()> extended)
    // The application may change its directory.
    : path_(std::filesystem::absolute(path)),
      log_(log),
      composition_(composition),
      workers_(workers),
      extended_(std::move(extended)),
      seen_(stamp),
      running_(std::move(settings)),
      lastFilled_(running_.lastFilled),
      logging_(logSettings(running_.ha)) {}

void Configuration::manages(const config::Group& group, ha::VirtualToken& token) {
  managed_.push_back({group.label, group.serial, &token, true, group.recoveryCounter,
                      std::set<std::string>(group.members.begin(), group.members.end())});
}

void Configuration::manages(const ha::GroupPolicy& policy, ha::VirtualToken& token) {
  managed_.push_back({policy.label, policy.serial, &token, false, 0, {policy.serial}});
}

void Configuration::begin() {
  std::optional<base::FileStamp> known;
  {
    base::Lock lock(turn_);
    known = seen_;
  }
  begun_.store(true);
  try {
    watch_ = std::make_unique<base::FileWatch>(path_, known, kFallback, [this] { return changed(); });
  } catch (const std::system_error& lacking) {
    complain(path_ + ": it is not watched (" + lacking.what() + "); changes are seen when a member is recovered");
  }
}

void Configuration::end() {
  {
    base::Lock lock(pauses_);
    ending_ = true;
    ended_.notifyAll();
  }
  if (watch_ != nullptr) watch_->stop();
}

// On the thread that watches, which must not block.
bool Configuration::changed() {
  if (queued_.exchange(true)) return true;
  const bool begun = workers_.run([this] {
    queued_.store(false);
    refresh();
  });
  if (!begun) queued_.store(false);
  return begun;
}

void Configuration::refresh() {
  if (!begun_.load()) return;
  wanted_.store(true);
  // Whoever is at it looks again after it has let go: no wish is lost.
  while (wanted_.load() && turn_.tryLock()) {
    wanted_.store(false);
    try {
      look();
    } catch (const std::exception&) {  // no memory, no thread
      seen_.reset();                   // the next time
    }
    turn_.unlock();
  }
}

void Configuration::look() {
  if (isEnding() || base::stampOf(path_) == seen_) return;
  const auto loaded = loadSteady();
  if (!loaded) return;
  if (!*loaded) {
    refuse(reasonOf(loaded->error()));
    return;  // not seen: it may become readable without being changed
  }
  seen_ = (*loaded)->stamp;
  const config::Settings settings = config::read((*loaded)->document);
  if (const std::string fault = faultIn(settings); !fault.empty()) {
    refuse(fault);
    return;
  }
  refused_.clear();
  takeOver(settings);
}

// Nothing where it does not come to rest, or where it is too late.
std::optional<base::Result<config::Loaded, config::Diagnostic>> Configuration::loadSteady() {
  for (int loads = 0; loads < kMostLoads; ++loads) {
    auto loaded = config::load(path_);
    const std::optional<base::FileStamp> stamp = loaded ? std::optional(loaded->stamp) : base::stampOf(path_);
    bool steady = true;
    for (int looks = 0; looks < 2 && steady; ++looks) {
      if (!pause()) return std::nullopt;
      steady = base::stampOf(path_) == stamp;
    }
    if (steady) return loaded;
  }
  return std::nullopt;
}

bool Configuration::pause() {
  const base::Monotonic until = base::now() + kSteady;
  base::Lock lock(pauses_);
  while (!ending_ && base::now() < until) ended_.waitUntil(pauses_, until);
  return !ending_;
}

bool Configuration::isEnding() {
  base::Lock lock(pauses_);
  return ending_;
}

// By its serial number, else by its label.
const config::Group* Configuration::find(const Managed& managed, const config::Settings& settings) const {
  const auto by = [&](std::string config::Group::*field, const std::string& value) -> const config::Group* {
    for (const config::Group& group : settings.groups) {
      if (group.*field == value) return &group;
    }
    return nullptr;
  };
  const config::Group* const bySerial = by(&config::Group::serial, managed.serial);
  if (bySerial != nullptr) return bySerial;
  const config::Group* const byLabel = by(&config::Group::label, managed.label);
  // Not one that runs under its own serial number.
  const bool isOther = byLabel != nullptr && std::any_of(managed_.begin(), managed_.end(), [&](const Managed& each) {
                         return each.isGroup && each.serial == byLabel->serial;
                       });
  return isOther ? nullptr : byLabel;
}

std::string Configuration::faultOf(const config::Settings& settings) const {
  base::Lock lock(turn_);
  return faultIn(settings);
}

std::string Configuration::faultIn(const config::Settings& settings) const {
  if (settings.unfinished) return reasonOf(*settings.unfinished);
  for (const config::Diagnostic& finding : settings.diagnostics) {
    if (finding.severity == config::Severity::Error) return reasonOf(finding);
  }
  for (const Managed& managed : managed_) {
    if (managed.isGroup && find(managed, settings) == nullptr)
      return "group " + managed.serial + " is not in it, and runs";
  }
  // Without its last section it looks like one that its writer did not come to the end of.
  if (!lastFilled_.empty() && !has(settings, lastFilled_)) {
    return "line " + std::to_string(settings.lines) + ": expected section " + config::inQuotes(lastFilled_) +
           " before the end of the file, as it was there; it is taken away once it was left empty";
  }
  return {};
}

template <class Event>
void Configuration::tell(const std::string& reason) {
  for (const Managed& managed : managed_) {
    if (managed.isGroup) log_.write(managed.serial, Event{path_, reason});
  }
}

void Configuration::refuse(const std::string& reason) {
  if (!refused_.insert(reason).second) return;
  complain(path_ + " has changed and is not taken over: " + reason);
  tell<halog::ConfigurationRefused>(reason);
}

void Configuration::takeOver(const config::Settings& settings) {
  lastFilled_ = settings.lastFilled;
  const std::function<void()> then = configureLog(logSettings(settings.ha));
  extendFor(settings);
  sayPending(settings);
  for (Managed& managed : managed_) {
    ha::GroupUpdate update = updateOf(managed, settings);
    update.then = then;
    managed.token->reconfigure(std::move(update));
  }
}

// A log that is switched off still has what changes with it: the last group to take the change over ends it. That is
// what is returned, for each of them.
std::function<void()> Configuration::configureLog(halog::LogSettings logging) {
  if (logging == logging_) return {};
  logging_ = logging;
  base::Lock lock(logTurn_);
  const std::uint64_t change = ++logChanges_;
  if (logging.enabled && !logging.directory.empty()) {
    log_.configure(std::move(logging));
    return {};
  }
  return [this, change, logging, left = std::make_shared<std::atomic<std::size_t>>(managed_.size())] {
    if (left->fetch_sub(1) != 1) return;
    base::Lock last(logTurn_);
    if (logChanges_ == change) log_.configure(logging);
  };
}

// A member that nobody shows yet.
bool Configuration::needsMore(const config::Settings& settings) const {
  return std::any_of(managed_.begin(), managed_.end(), [&](const Managed& managed) {
    if (!managed.isGroup) return false;
    const auto& members = find(managed, settings)->members;
    return std::any_of(members.begin(), members.end(),
                       [&](const std::string& serial) { return !composition_.fleet->shows(serial); });
  });
}

// Modules and servers that are there for members which were not.
void Configuration::extendFor(const config::Settings& settings) {
  if (!needsMore(settings)) return;
  config::Settings further = settings;
  further.tuning.modules = addedTo(running_.tuning.modules, settings.tuning.modules);
  further.client.servers = addedTo(running_.client.servers, settings.client.servers);
  if (further.tuning.modules.empty() && further.client.servers.empty()) return;
  std::vector<std::string> complaints;
  composition_.fleet->extend(further, complaints);
  for (const std::string& line : complaints) complain(line);
  append(running_.tuning.modules, further.tuning.modules);
  // The first are connected to as the file says now.
  if (running_.client.servers.empty())
    running_.client = further.client;
  else
    append(running_.client.servers, further.client.servers);
  extended_();
}

ha::GroupUpdate Configuration::updateOf(Managed& managed, const config::Settings& settings) {
  ha::GroupUpdate update;
  if (managed.isGroup) {
    const config::Group& group = *find(managed, settings);
    update.policy = compose::policyOf(group, settings, composition_.jitterSeed);
    for (const std::string& serial : group.members) {
      ha::MemberUpdate member{serial, compose::isStandby(group, serial)};
      if (managed.known.insert(serial).second) {
        if (!composition_.fleet->shows(serial)) complain(compose::nobodyShows(group, serial));
        member.token = composition_.fleet->member(serial);
      }
      update.members.push_back(std::move(member));
    }
    update.recover = std::exchange(managed.recoveryCounter, group.recoveryCounter) != group.recoveryCounter;
  } else {
    update.policy = compose::basePolicy(settings, composition_.jitterSeed);
    update.policy.synchronize = false;
    update.members = {{managed.serial}};
  }
  // These the application has seen.
  update.policy.label = managed.label;
  update.policy.serial = managed.serial;
  return update;
}

void Configuration::sayPending(const config::Settings& settings) {
  std::set<std::string> pending;
  for (std::string& text : compose::pendingChanges(running_, settings)) pending.insert(std::move(text));
  for (const std::string& text : pending) {
    if (!pending_.contains(text)) tell<halog::ConfigurationPending>(text);
  }
  pending_ = std::move(pending);
}

}  // namespace p11ha::pkcs11
