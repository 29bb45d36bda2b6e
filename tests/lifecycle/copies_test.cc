// The library loaded twice: again after dlclose, and from another file in the same process.
#include <dlfcn.h>

#include "tests/lifecycle/lifecycle_fixture.h"

namespace p11ha::tests {
namespace {

using Reload = LifeCycle;

TEST_F(Reload, AfterDlcloseItIsStillThere) {
  expectEndsWell([&] {
    for (int round = 0; round < 3; ++round) {
      void* library = dlopen(kGroupModule.c_str(), RTLD_NOW | RTLD_LOCAL);
      const Working client(loadModule(kGroupModule));
      EXPECT_EQ(client.f->C_Finalize(nullptr), CKR_OK);
      while (dlclose(library) == 0 && (library = dlopen(kGroupModule.c_str(), RTLD_NOW | RTLD_NOLOAD)) == nullptr) {
      }
      ASSERT_NE(library, nullptr);
      dlclose(library);
    }
  });
}

TEST_F(Reload, AfterDlcloseWithCallsRunningItIsStillInitialised) {
  expectEndsWell([&] {
    void* library = dlopen(kGroupModule.c_str(), RTLD_NOW | RTLD_LOCAL);
    const auto getFunctions = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
    CK_FUNCTION_LIST_PTR functions = nullptr;
    EXPECT_EQ(getFunctions(&functions), CKR_OK);
    const Working client(reinterpret_cast<CK_FUNCTION_LIST_3_0_PTR>(functions));
    Callers callers(client, 8);
    EXPECT_EQ(dlclose(library), 0);
    EXPECT_EQ(client.sign(), CKR_OK);
    auto* again = loadModule(kGroupModule);
    EXPECT_EQ(again->C_Initialize(nullptr), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    EXPECT_EQ(again->C_Finalize(nullptr), CKR_OK);
    callers.join();
  });
}

class Copies : public LifeCycle {
 protected:
  Client copy() const {
    const auto file = store.folder() / "another.so";
    std::filesystem::copy_file(kGroupModule, file);
    return Client(loadModule(file.string()));
  }
  static bool softHsmIsInitialized() {
    void* library = dlopen(kSoftHsmModule, RTLD_NOW | RTLD_NOLOAD);
    CK_FUNCTION_LIST_PTR functions = nullptr;
    EXPECT_EQ(reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"))(&functions), CKR_OK);
    CK_INFO info{};
    return functions->C_GetInfo(&info) == CKR_OK;
  }
};

TEST_F(Copies, WorkSideBySideOverOneModule) {
  expectEndsWell([&] {
    const Client other = copy();
    EXPECT_NE(other.f, module()) << "two copies";
    const Working first = work();
    const Working second(other.f);
    {
      Callers onFirst(first, 4);
      Callers onSecond(second, 4);
      onFirst.stop();
      onSecond.stop();
    }
    // The module is the first one's to finalize.
    EXPECT_EQ(second.f->C_Finalize(nullptr), CKR_OK);
    EXPECT_TRUE(softHsmIsInitialized());
    EXPECT_EQ(second.random(second.session), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT_EQ(first.f->C_Finalize(nullptr), CKR_OK);
    EXPECT_FALSE(softHsmIsInitialized());
  });
}

TEST_F(Copies, TheOneThatIsLeftTakesTheModuleOver) {
  expectEndsWell([&] {
    const Client other = copy();
    const Working first = work();
    const Working second(other.f);
    EXPECT_EQ(first.f->C_Finalize(nullptr), CKR_OK);
    EXPECT_FALSE(softHsmIsInitialized());
    // Its members are lost at the next call, and recovered as members are.
    await([&] { return second.random(second.session) == CKR_OK; }, "members that are back");
    EXPECT_TRUE(softHsmIsInitialized());
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(second.createKey(second.session, key), CKR_OK) << "logged in as before";
    expectWorks();
    EXPECT_TRUE(softHsmIsInitialized()) << "it is the second one's now";
    EXPECT_EQ(second.f->C_Finalize(nullptr), CKR_OK);
    EXPECT_FALSE(softHsmIsInitialized());
  });
}

TEST_F(Copies, ExitTogether) {
  expectEndsWell([&] {
    const Client other = copy();
    const Working first = work();
    const Working second(other.f);
    // No keys: the first copy to end logs the other's members out.
    std::latch begun(8);
    for (const Working* client : {&first, &second}) {
      for (int i = 0; i < 4; ++i) {
        std::thread([&begun, client = Client(client->f)] {
          const CK_SESSION_HANDLE session = client.open(0);
          begun.count_down();
          CK_RV rv = CKR_OK;
          while (rv == CKR_OK) rv = client.random(session);
          EXPECT_EQ(rv, CKR_CRYPTOKI_NOT_INITIALIZED);
        }).detach();
      }
    }
    begun.wait();
    std::exit(HasFailure() ? 1 : 0);
  });
}

}  // namespace
}  // namespace p11ha::tests
