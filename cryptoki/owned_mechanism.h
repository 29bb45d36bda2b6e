// A mechanism that owns its parameters, so that it outlives the call that brought it and can be sent to several
// members.
#pragma once

#include <array>
#include <memory>
#include <type_traits>

#include "base/secure_bytes.h"
#include "cryptoki/mechanism.h"
#include "cryptoki/parameter_pointee.h"

namespace p11ha::cryptoki {

/// A deep copy of a CK_MECHANISM in memory that is wiped, made as mechanism_parameters.def says. Owned by its holder,
/// who synchronises. Assigning reuses memory: a mechanism without a parameter costs a few instructions, one whose
/// parameter and all it points to fit kInline bytes no allocation; larger ones may throw std::bad_alloc.
class OwnedMechanism {
 public:
  static constexpr std::size_t kInline = 128;

  OwnedMechanism() = default;
  ~OwnedMechanism() { clear(); }
  OwnedMechanism(const OwnedMechanism& other);
  OwnedMechanism& operator=(const OwnedMechanism& other);
  OwnedMechanism(OwnedMechanism&& other) noexcept;
  OwnedMechanism& operator=(OwnedMechanism&& other) noexcept;

  /// Takes a copy of an application's mechanism. A parameter of length zero is taken as none (NULL, 0): the member
  /// judges it. CKR_MECHANISM_PARAM_INVALID, and the mechanism is cleared: a parameter that is NULL but has a length;
  /// that is not of the mechanism's size; of a mechanism whose parameters are not known; with a length beyond the
  /// bounds, or a NULL pointer that has a length.
  CK_RV assign(const CK_MECHANISM& mechanism) {
    if (mechanism.ulParameterLen != 0) return assignDeep(mechanism, mechanismShape());
    if (used_ != 0) clear();  // else there was no parameter
    mechanism_.mechanism = mechanism.mechanism;
    return CKR_OK;
  }

  /// The same for the parameter of one message of that mechanism (C_EncryptMessage and its kin, PKCS #11 v3.0, 5.9);
  /// what to give the member is then get()->pParameter and ulParameterLen.
  CK_RV assignMessage(CK_MECHANISM_TYPE type, void* parameter, CK_ULONG length);

  /// What a member is given, which may write to it. Valid till the next change; moving is one.
  CK_MECHANISM* get() { return &mechanism_; }
  const CK_MECHANISM* get() const { return &mechanism_; }
  CK_MECHANISM_TYPE type() const { return mechanism_.mechanism; }

  /// Forgets and wipes.
  void clear() {
    if (used_ != 0) wipe();
    mechanism_ = {};
    memberWrote_ = false;
  }

  /// Copies what the member wrote into the application's own mechanism, the one this was assigned from: a generated IV,
  /// tags, versions, derived bytes and new handles, each within the length the application gave. Memory in which
  /// nothing changed is not written (constant IVs stay untouched). Call it after the member answered CKR_OK. True if
  /// anything was written.
  bool writeBack(CK_MECHANISM& application) { return used_ != 0 && writeParameterBack(application); }

  /// Would assigning this application's mechanism give the same? Out fields do not count. Compare before handles are
  /// translated or a member has written: both change the copy.
  bool sameAs(const CK_MECHANISM& application) const;

  /// Visits each object handle that goes to the member, CK_INVALID_HANDLE left out, by reference, so that it can be
  /// translated: f(CK_OBJECT_HANDLE&).
  template <class F>
  void forEachHandle(F&& f) {
    visit(FieldKind::Handle, &callWith<F>, std::addressof(f));
  }
  /// Does forEachHandle() visit any?
  bool namesHandles() const { return used_ != 0 && findsHandles(); }
  /// Likewise each handle that the member has written (PKCS #11 v3.0 current mechanisms, 2.32, 2.43): to be translated
  /// before writeBack().
  template <class F>
  void forEachNewHandle(F&& f) {
    visit(FieldKind::NewHandle, &callWith<F>, std::addressof(f));
  }

  /// Is an operation with this mechanism bound to the member it began on? So it is once a member has written to the
  /// parameter (writeBack() told), and beforehand if a message's IV is to be generated. Nothing in a CK_GCM_PARAMS says
  /// beforehand that the token will write its own IV: neither SoftHSM nor NSS does, others do.
  bool pinned() const;

 private:
  using Visitor = void (*)(void*, CK_OBJECT_HANDLE&);
  template <class F>
  static void callWith(void* f, CK_OBJECT_HANDLE& handle) {
    (*static_cast<std::remove_reference_t<F>*>(f))(handle);
  }

  CK_RV assignDeep(const CK_MECHANISM& mechanism, const ParameterShape& shape);
  void takeCopy(const OwnedMechanism& other);
  void wipe();
  void visit(FieldKind kind, Visitor visitor, void* context);
  bool findsHandles() const;
  bool writeParameterBack(CK_MECHANISM& application);

  CK_MECHANISM mechanism_{};
  const ParameterShape* shape_ = nullptr;  // of mechanism_: a CK_MECHANISM's or a message's; set with the parameter
  std::size_t used_ = 0;                   // bytes of inline_ or heap_
  bool memberWrote_ = false;
  alignas(16) std::array<std::uint8_t, kInline> inline_;
  base::SecureBytes heap_;
};

}  // namespace p11ha::cryptoki
