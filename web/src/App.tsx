import { Account } from "./features/session/Account";
import { SignIn } from "./features/session/SignIn";
import { TokenOffer } from "./features/session/TokenOffer";
import { useSession } from "./features/session/useSession";
import { ThemeToggle } from "./features/theme/ThemeToggle";
import plate from "./plate.svg";
import { Studio } from "./Studio";

export function App() {
  const session = useSession();
  return (
    <div className="page">
      <header className="masthead">
        <h1>
          <img src={plate} alt="" width={26} height={26} />
          Mezzotint
        </h1>
        {session.client !== null && <Account client={session.client} onSignOut={session.signOut} />}
        <ThemeToggle />
      </header>
      {session.offer !== null ? (
        <TokenOffer offer={session.offer} />
      ) : session.client !== null ? (
        <Studio client={session.client} />
      ) : (
        !session.isOpening && <SignIn session={session} />
      )}
    </div>
  );
}
