#include "cryptoki/local_module.h"

#include "cryptoki/modules.h"
#include "cryptoki/text.h"

namespace p11ha::cryptoki {
namespace {

constexpr CK_ULONG kMaxSlots = 65536;  // what a module may make us allocate

}  // namespace

LocalModule::LocalModule(Modules& modules, LoadedModule& loaded, std::string reserved)
    : modules_(modules), loaded_(loaded), reserved_(std::move(reserved)), functions_(loaded.functions) {}

LocalModule::~LocalModule() { finalize(); }

CK_RV LocalModule::initializeAgain() { return modules_.initialize(loaded_, reserved_); }

void LocalModule::finalize() { modules_.finalize(loaded_); }

SoftHsmStore* LocalModule::storeOf(const std::string& serial) {
  base::Lock lock(findingStores_);
  const auto [at, isNew] = stores_.try_emplace(serial);
  if (isNew) at->second = SoftHsmStore::find(functions_, serial);
  return at->second.get();
}

void LocalModule::abandon() { loaded_.ours.store(false); }

base::Result<std::vector<TokenInSlot>, CK_RV> LocalModule::tokens() const {
  std::vector<CK_SLOT_ID> slots;
  CK_RV rv = CKR_BUFFER_TOO_SMALL;
  // The number of slots may grow between the two calls.
  for (int tries = 0; rv == CKR_BUFFER_TOO_SMALL && tries < 8; ++tries) {
    CK_ULONG count = 0;
    rv = invoke(functions_, makeCall<Fn::GetSlotList>(CK_BBOOL{CK_TRUE}, nullptr, &count));
    if (rv == CKR_OK && count > kMaxSlots) rv = CKR_GENERAL_ERROR;
    if (rv != CKR_OK) break;
    slots.resize(count);
    rv = invoke(functions_, makeCall<Fn::GetSlotList>(CK_BBOOL{CK_TRUE}, slots.data(), &count));
    if (rv == CKR_OK && count > slots.size()) rv = CKR_GENERAL_ERROR;
    slots.resize(rv == CKR_OK ? count : 0);
  }
  if (rv != CKR_OK) return base::Failure{rv};
  std::vector<TokenInSlot> tokens;
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    if (invoke(functions_, makeCall<Fn::GetTokenInfo>(slot, &info)) != CKR_OK) continue;
    tokens.push_back({slot, unpad(info.serialNumber), unpad(info.label)});
  }
  return tokens;
}

LocalMember::LocalMember(std::shared_ptr<LocalModule> module, std::string serial, std::optional<CK_SLOT_ID> slot)
    : module_(std::move(module)), serial_(std::move(serial)), fixedSlot_(slot) {}

CK_RV LocalMember::attach() {
  base::Lock lock(attaching_);
  const CK_RV rv = find();
  if (rv != CKR_CRYPTOKI_NOT_INITIALIZED) return rv;
  const CK_RV again = module_->initializeAgain();
  return again == CKR_OK ? find() : again;
}

CK_RV LocalMember::find() {
  bool isReplaced = false;
  if (attached_) {
    // Where it was before: the token's own answer says more than its absence from a list.
    CK_TOKEN_INFO info{};
    const CK_RV rv = invoke(module_->functions(), makeCall<Fn::GetTokenInfo>(slot_.load(), &info));
    if (rv == CKR_OK && unpad(info.serialNumber) == ownSerial_) return CKR_OK;
    if (rv != CKR_OK && rv != CKR_SLOT_ID_INVALID && rv != CKR_TOKEN_NOT_PRESENT) return rv;
    // A token without a serial number, to be initialised yet, may become any.
    isReplaced = rv == CKR_OK && !unpad(info.serialNumber).empty();
  }
  const auto tokens = module_->tokens();
  if (!tokens) return tokens.error();
  for (const TokenInSlot& token : *tokens) {
    if (fixedSlot_ ? token.slot != *fixedSlot_ : token.serial != serial_) continue;
    if (attached_ && token.serial != ownSerial_) return CKR_TOKEN_NOT_RECOGNIZED;
    slot_.store(token.slot, std::memory_order_release);
    ownSerial_ = token.serial;
    store_.store(module_->storeOf(ownSerial_), std::memory_order_release);
    attached_ = true;
    return CKR_OK;
  }
  return isReplaced ? CKR_TOKEN_NOT_RECOGNIZED : CKR_TOKEN_NOT_PRESENT;
}

Outcome LocalMember::execute(const Call& call) {
  const detail::Lowering& way = lowering(call.fn);
  if (way.route == Route::Slot) return executeInSlot(call);
  if (SoftHsmStore* const store = store_.load(std::memory_order_acquire))
    return {store->run(module_->functions(), call), Fate::Answered};
  return {way.run(module_->functions(), call.words.data()), Fate::Answered};
}

Outcome LocalMember::executeInSlot(Call call) {
  const CK_SLOT_ID slot = slot_.load(std::memory_order_acquire);
  if (slot == kNoSlot) return {CKR_TOKEN_NOT_PRESENT, Fate::NotSent};
  call.setSlot(slot);
  return {invoke(module_->functions(), call), Fate::Answered};
}

}  // namespace p11ha::cryptoki
