#include "pkcs11/runtime.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "config/locate.h"
#include "pkcs11/complain.h"

namespace p11ha::pkcs11 {
namespace {

constexpr std::chrono::seconds kLookInterval{1};

}  // namespace

CK_RV Runtime::create(cryptoki::Modules& modules, std::unique_ptr<Runtime>& made,
                      std::function<void(const Runtime&)> extended) {
  const std::string path = config::locate(config::Environment::ofProcess());
  const auto loaded = config::load(path);
  if (!loaded) {
    complain(loaded.error().format());
    return CKR_GENERAL_ERROR;
  }
  const config::Settings settings = config::read(loaded->document);
  for (const config::Diagnostic& diagnostic : settings.diagnostics) complain(diagnostic.format());
  made.reset(new Runtime(path, loaded->stamp, settings, modules, std::move(extended)));
  return CKR_OK;
}

Runtime::Runtime(const std::string& path, const base::FileStamp& stamp, const config::Settings& settings,
                 cryptoki::Modules& modules, std::function<void(const Runtime&)> extended)
    : finalizeWait_(settings.tuning.finalizeWait),
      log_(clock_, logSettings(settings.ha)),
      silent_(clock_),
      composition_(compose::compose(settings, modules)),
      configuration_(path, stamp, settings, log_, composition_, workers_,
                     [this, told = std::move(extended)] { told(*this); }) {
  for (const std::string& line : composition_.complaints) complain(line);
  watchStatus(settings.tuning.statusPath);
  // Members come first, groups after.
  for (const auto& member : composition_.memberSlots) {
    ha::GroupPolicy policy = compose::basePolicy(settings, composition_.jitterSeed);
    policy.label = policy.serial = member->serial();
    policy.synchronize = false;
    configuration_.manages(policy, add(ha::Face::Member, policy, {{member, false}}, silent_));
  }
  for (std::size_t i = 0; i < composition_.groups.size(); ++i) {
    const compose::GroupPlan& plan = composition_.groups[i];
    configuration_.manages(settings.groups[i], add(ha::Face::Group, plan.policy, plan.members, log_));
  }
  for (const Managed& managed : tokens_) managed.token->start();
  for (const std::string& line : composition_.fleet->problems()) complain(line);
  if (status_ != nullptr) status_->file.start();
  events_.forget();
  configuration_.begin();
}

void Runtime::watchStatus(const std::string& configured) {
  const std::string directory = StatusFile::directoryFor(configured);
  if (directory.empty() || composition_.groups.empty()) return;
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    complain("StatusPath: nothing can be written in " + directory + ": " + std::generic_category().message(errno));
  }
  status_ = std::make_unique<Status>(directory, clock_, [this] { return groupStatus(); });
}

std::vector<ha::GroupStatus> Runtime::groupStatus() const {
  std::vector<ha::GroupStatus> all;
  for (const Managed& managed : tokens_) {
    if (managed.token->face() == ha::Face::Group) all.push_back(managed.token->status());
  }
  return all;
}

Runtime::~Runtime() = default;

ha::VirtualToken& Runtime::add(ha::Face face, const ha::GroupPolicy& policy, std::vector<ha::MemberSpec> members,
                               halog::Sink& log) {
  Managed managed;
  managed.scheduler = std::make_unique<base::ThreadScheduler>();
  const CK_SLOT_ID slot = tokens_.size();
  ha::Ports ports{clock_, *managed.scheduler, workers_, log, sessions};
  if (face == ha::Face::Member) {
    managed.looking = std::make_unique<std::atomic<bool>>(false);
    ports.presence = [this, slot](bool) { events_.happened(slot); };
  } else if (status_ != nullptr) {
    ports.changed = [this] { status_->file.changed(); };
  }
  ports.beforeAttempt = [this] { configuration_.refresh(); };
  managed.token = std::make_unique<ha::VirtualToken>(slot, face, policy, std::move(members), ports);
  tokens_.push_back(std::move(managed));
  return *tokens_.back().token;
}

// Members may hang even when they are taken leave of.
bool Runtime::leave(base::Monotonic until, const base::Task& part) {
  if (!workers_.run(part)) part();
  return workers_.drain(until);
}

bool Runtime::shutDown(base::Gate<Runtime>& gate) {
  configuration_.end();
  events_.end();
  const bool written = endStatus();
  for (const Managed& managed : tokens_) managed.token->endWaiting();
  bool clean = gate.waitEmpty(clock_.now() + finalizeWait_);
  if (!clean && composition_.fleet->connects()) {
    composition_.fleet->close();
    clean = gate.waitEmpty(clock_.now() + finalizeWait_);
  }
  const base::Monotonic until = clock_.now() + finalizeWait_;
  if (clean) {
    clean = leave(until, [this] {
      for (const Managed& managed : tokens_) {
        managed.token->stop();
        stopped_.fetch_add(1);
      }
    });
  }
  // Whoever is still in a call on one of these, or connects, comes back.
  composition_.fleet->close();
  for (std::size_t i = stopped_.load(); i < tokens_.size(); ++i) tokens_[i].token->stopManaging();
  for (const Managed& managed : tokens_) managed.scheduler->stop();
  // Attempts to recover a member, begun before its management ended, and whoever reads the configuration.
  clean = clean && workers_.drain(until);
  clean = clean && leave(until, [this] {
            for (const auto& module : composition_.fleet->modules()) module->finalize();
          });
  if (!clean) {
    for (const auto& module : composition_.fleet->modules()) module->abandon();
  }
  return clean && written;
}

// False: the file system holds a worker of ours.
bool Runtime::endStatus() {
  if (status_ == nullptr) return true;
  status_->scheduler.stop();
  const bool drained = status_->workers.drain(clock_.now() + finalizeWait_);
  status_->file.remove();
  return drained;
}

ha::VirtualToken* Runtime::token(CK_SLOT_ID slot) const {
  return slot < tokens_.size() ? tokens_[slot].token.get() : nullptr;
}

CK_RV Runtime::slotList(CK_BBOOL tokenPresent, CK_SLOT_ID* list, CK_ULONG* count) const {
  if (count == nullptr) return CKR_ARGUMENTS_BAD;
  std::vector<CK_SLOT_ID> slots;
  for (const Managed& managed : tokens_) {
    CK_SLOT_INFO info{};
    managed.token->call(cryptoki::makeCall<cryptoki::Fn::GetSlotInfo>(managed.token->slot(), &info));
    if (tokenPresent == CK_FALSE || (info.flags & CKF_TOKEN_PRESENT) != 0) slots.push_back(managed.token->slot());
  }
  const CK_ULONG room = *count;
  *count = slots.size();
  if (list == nullptr) return CKR_OK;
  if (room < slots.size()) return CKR_BUFFER_TOO_SMALL;
  std::copy(slots.begin(), slots.end(), list);
  return CKR_OK;
}

// A member slot is told of its member's loss by the calls made on it: while somebody waits for events, we make some.
void Runtime::lookAtMembers() {
  base::Monotonic due = nextLook_.load();
  const base::Monotonic now = clock_.now();
  if (now < due || !nextLook_.compare_exchange_strong(due, now + kLookInterval)) return;
  for (const Managed& managed : tokens_) {
    if (managed.looking == nullptr || managed.looking->exchange(true)) continue;
    const bool begun = workers_.run([&managed] {
      CK_TOKEN_INFO info{};
      managed.token->call(cryptoki::makeCall<cryptoki::Fn::GetTokenInfo>(managed.token->slot(), &info));
      managed.looking->store(false);
    });
    if (!begun) managed.looking->store(false);
  }
}

CK_RV Runtime::waitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID* slot) {
  if (slot == nullptr) return CKR_ARGUMENTS_BAD;
  for (;;) {
    lookAtMembers();
    if ((flags & CKF_DONT_BLOCK) != 0) return events_.take(slot) ? CKR_OK : CKR_NO_EVENT;
    const CK_RV rv = events_.await(slot, clock_.now() + kLookInterval);
    if (rv != CKR_NO_EVENT) return rv;
  }
}

}  // namespace p11ha::pkcs11
