#include "pkcs11/runtime.h"

#include <cstdio>

#include "config/load.h"
#include "config/locate.h"

namespace p11ha::pkcs11 {
namespace {

void complain(const std::string& line) { std::fprintf(stderr, "p11ha: %s\n", line.c_str()); }

halog::LogSettings logSettings(const config::HaConfiguration& ha) {
  return {ha.logPath, ha.logStatus == config::LogStatus::Enabled, ha.logLength};
}

}  // namespace

CK_RV Runtime::create(std::unique_ptr<Runtime>& made) {
  const auto loaded = config::load(config::locate(config::Environment::ofProcess()));
  if (!loaded) {
    complain(loaded.error().format());
    return CKR_GENERAL_ERROR;
  }
  const config::Settings settings = config::read(loaded->document);
  for (const config::Diagnostic& diagnostic : settings.diagnostics) complain(diagnostic.format());
  made.reset(new Runtime(settings));
  return CKR_OK;
}

Runtime::Runtime(const config::Settings& settings)
    : finalizeWait_(settings.tuning.finalizeWait),
      log_(clock_, logSettings(settings.ha)),
      silent_(clock_),
      composition_(compose::compose(settings)) {
  for (const std::string& line : composition_.complaints) complain(line);
  // Members come first, groups after.
  for (const auto& member : composition_.memberSlots) {
    ha::GroupPolicy policy = compose::basePolicy(settings);
    policy.label = policy.serial = member->serial();
    policy.synchronize = false;
    add(ha::Face::Member, std::move(policy), {{member, false}}, silent_);
  }
  for (compose::GroupPlan& group : composition_.groups) add(ha::Face::Group, group.policy, group.members, log_);
  for (const Managed& managed : tokens_) managed.token->start();
}

Runtime::~Runtime() = default;

void Runtime::add(ha::Face face, ha::GroupPolicy policy, std::vector<ha::MemberSpec> members, halog::Sink& log) {
  Managed managed;
  managed.scheduler = std::make_unique<base::ThreadScheduler>();
  managed.token = std::make_unique<ha::VirtualToken>(static_cast<CK_SLOT_ID>(tokens_.size()), face, std::move(policy),
                                                     std::move(members),
                                                     ha::Ports{clock_, *managed.scheduler, workers_, log, sessions});
  tokens_.push_back(std::move(managed));
}

bool Runtime::shutDown(base::Gate& gate) {
  {
    base::Lock lock(sleepers_);
    ending_ = true;
    wake_.notifyAll();
  }
  const base::Monotonic until = clock_.now() + finalizeWait_;
  bool clean = gate.waitEmpty(until);
  if (clean) {
    for (const Managed& managed : tokens_) managed.token->stop();
  } else {
    for (const Managed& managed : tokens_) managed.token->stopManaging();
  }
  for (const Managed& managed : tokens_) managed.scheduler->stop();
  clean = workers_.drain(until) && clean;
  if (!clean) {
    for (const auto& module : composition_.modules) module->abandon();
  }
  return clean;
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

CK_RV Runtime::waitForSlotEvent(CK_FLAGS flags) {
  // The slots of a process are fixed and a group's token stays, whatever becomes of its members: nothing ever happens.
  if ((flags & CKF_DONT_BLOCK) != 0) return CKR_NO_EVENT;
  base::Lock lock(sleepers_);
  while (!ending_) wake_.wait(sleepers_);
  return CKR_CRYPTOKI_NOT_INITIALIZED;
}

}  // namespace p11ha::pkcs11
